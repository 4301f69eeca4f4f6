"""SQLAlchemy, core and ORM, over PyMySQL."""

import decimal

import pytest
import sqlalchemy as sa
from sqlalchemy import orm


@pytest.fixture
def engine(server, database):
    host, port = server.address
    url = f"mysql+pymysql://root@{host}:{port}/{database}"
    engine = sa.create_engine(url, pool_pre_ping=True, connect_args=server.tls)
    yield engine
    engine.dispose()


def test_core(engine):
    metadata = sa.MetaData()
    stock = sa.Table(
        "stock",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(20), nullable=False),
        sa.Column("price", sa.Numeric(10, 2)),
    )
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(
            stock.insert(),
            [{"id": 1, "name": "bolt", "price": "0.25"}, {"id": 2, "name": "nut", "price": None}],
        )
        connection.execute(stock.update().where(stock.c.id == 2).values(price=decimal.Decimal("1.50")))
    with engine.connect() as connection:
        query = sa.select(stock.c.name, stock.c.price).where(stock.c.price > 0.1).order_by(stock.c.id)
        assert connection.execute(query).all() == [
            ("bolt", decimal.Decimal("0.25")),
            ("nut", decimal.Decimal("1.50")),
        ]
    with pytest.raises(sa.exc.IntegrityError):
        with engine.begin() as connection:
            connection.execute(stock.insert(), {"id": 1, "name": "again"})
    metadata.drop_all(engine)


class Base(orm.DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "authors"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(sa.String(50))


class Book(Base):
    __tablename__ = "books"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    author_id: orm.Mapped[int]
    title: orm.Mapped[str] = orm.mapped_column(sa.String(100))
    author: orm.Mapped[Author] = orm.relationship(
        primaryjoin="foreign(Book.author_id) == Author.id", backref="books"
    )


def test_orm(engine):
    Base.metadata.create_all(engine)
    with orm.Session(engine) as session:
        author = Author(name="Ada")
        session.add_all([Book(author=author, title="Notes"), Book(author=author, title="Engines")])
        session.commit()
        assert author.id is not None
        titles = session.scalars(sa.select(Book.title).join(Book.author).where(Author.name == "Ada")).all()
        assert sorted(titles) == ["Engines", "Notes"]
        session.delete(session.scalars(sa.select(Book).where(Book.title == "Notes")).one())
        session.rollback()
        assert session.scalar(sa.select(sa.func.count()).select_from(Book)) == 2
        author.name = "Ada L."
        session.commit()
    with orm.Session(engine) as session:
        assert session.scalars(sa.select(Author)).one().name == "Ada L."
