"""A working day of the shop; prints what it found."""

import datetime
import decimal
import json

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.db import IntegrityError, connection, transaction  # noqa: E402
from django.db.models import Count, F, Q, Sum  # noqa: E402
from shop.models import Customer, Line, Order, Product  # noqa: E402

ada = Customer.objects.create(name="Ada", settings={"colour": "green", "sizes": [1, 2]})
bob = Customer.objects.create(name="bob", active=False)
nut, bolt = Product.objects.bulk_create([Product(code="nut", price="0.25"), Product(code="bolt", price="1.50")])
for day, customer, lines in [(1, ada, {nut: 10, bolt: 2}), (2, ada, {nut: 1}), (29, bob, {bolt: 7})]:
    with transaction.atomic():
        order = Order.objects.create(customer=customer, placed=datetime.date(2024, 2, day))
        Line.objects.bulk_create(Line(order=order, product=p, quantity=n) for p, n in lines.items())

found = {}
try:
    with transaction.atomic():
        Product.objects.create(code="NUT", price=1)
except IntegrityError as error:
    found["duplicate"] = error.args[0]
try:
    with transaction.atomic():
        Line.objects.create(order=Order.objects.first(), product=nut, quantity=1)
except IntegrityError as error:
    found["two lines"] = error.args[0]
worth = Sum(F("line__quantity") * F("line__product__price"))
found["worth"] = {o.customer.name: str(o.worth) for o in Order.objects.annotate(worth=worth).filter(placed__day__gt=1)}
found["orders"] = list(Customer.objects.annotate(n=Count("order")).order_by("-n").values_list("name", "n"))
found["by name"] = [c.name for c in Customer.objects.filter(name__iexact="BOB")]
found["exact"] = Customer.objects.filter(name="BOB").count()
found["json"] = [c.name for c in Customer.objects.filter(settings__colour="green")]
found["either"] = Order.objects.filter(Q(customer__active=False) | Q(placed__year=2024, placed__month=2)).count()
found["prefetched"] = [sorted(p.code for p in o.products.all()) for o in Order.objects.prefetch_related("products")]
Product.objects.filter(code="nut").update(price=F("price") * 2)
found["price"] = str(Product.objects.get(code="Nut").price)
found["made"] = [Customer.objects.get_or_create(name="Cy")[1], Customer.objects.get_or_create(name="Cy")[1]]
Customer.objects.update_or_create(name="Cy", defaults={"active": False})
found["inactive"] = list(Customer.objects.filter(active=False).order_by("name").values_list("name", flat=True))
with transaction.atomic():
    Customer.objects.select_for_update().get(pk=ada.pk)
    sid = transaction.savepoint()
    Customer.objects.all().update(name="x")
    transaction.savepoint_rollback(sid)
found["names"] = sorted(Customer.objects.values_list("name", flat=True))
User.objects.create_user("keeper", "k@example.com", "secret")
found["login"] = User.objects.get(username="KEEPER").check_password("secret")
ada.delete()
found["left"] = [Order.objects.count(), Line.objects.count()]
found["sum"] = str(Line.objects.aggregate(n=Sum("quantity"))["n"] or decimal.Decimal(0))
with connection.cursor() as cursor:
    found["tables"] = len(connection.introspection.table_names(cursor))
    found["relations"] = connection.introspection.get_relations(cursor, "shop_line")
    keys = connection.introspection.get_constraints(cursor, "shop_line")
    found["unique"] = sorted(name for name, key in keys.items() if key["unique"])
print(json.dumps(found))
