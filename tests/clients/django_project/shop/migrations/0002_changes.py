"""Changes of a schema as they come with time."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]

    operations = [
        migrations.AddField("customer", "email", models.EmailField(default="", max_length=254)),
        migrations.AlterField("customer", "name", models.CharField(db_index=True, max_length=120)),
        migrations.RenameField("line", "count", "quantity"),
        migrations.RemoveField("customer", "notes"),
        migrations.AddIndex("order", models.Index(fields=["placed"], name="by_day")),
        migrations.RunSQL("UPDATE shop_customer SET email = CONCAT(name, '@example.com')", migrations.RunSQL.noop),
    ]
