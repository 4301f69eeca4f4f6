"""Customers, their orders, and what those are of."""

from django.db import models


class Customer(models.Model):
    name = models.CharField(max_length=120, db_index=True)
    joined = models.DateTimeField(auto_now_add=True)
    active = models.BooleanField(default=True)
    settings = models.JSONField(default=dict)
    email = models.EmailField(default="")


class Product(models.Model):
    code = models.CharField(max_length=20, primary_key=True)
    price = models.DecimalField(max_digits=10, decimal_places=2)


class Order(models.Model):
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE)
    placed = models.DateField()
    products = models.ManyToManyField(Product, through="Line")

    class Meta:
        indexes = [models.Index(fields=["placed"], name="by_day")]


class Line(models.Model):
    order = models.ForeignKey(Order, on_delete=models.CASCADE)
    product = models.ForeignKey(Product, on_delete=models.CASCADE)
    quantity = models.PositiveIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["order", "product"], name="one_line_a_product")]
