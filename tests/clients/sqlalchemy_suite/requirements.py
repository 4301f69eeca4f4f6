"""What MySQL can do, for SQLAlchemy's suite."""

from sqlalchemy.testing import exclusions
from sqlalchemy.testing.requirements import SuiteRequirements


class Requirements(SuiteRequirements):
    @property
    def datetime_microseconds(self):
        """DATETIME without a precision keeps none."""
        return exclusions.closed()

    @property
    def time_microseconds(self):
        return exclusions.closed()

    @property
    def datetime_interval(self):
        return exclusions.closed()

    @property
    def date_implicit_bound(self):
        """A parameter in the list of SELECT comes back as text: PyMySQL writes it as a string."""
        return exclusions.closed()

    time_implicit_bound = date_implicit_bound
    datetime_implicit_bound = date_implicit_bound

    @property
    def unbounded_varchar(self):
        return exclusions.closed()

    @property
    def views(self):
        return exclusions.open()

    @property
    def savepoints(self):
        return exclusions.open()

    @property
    def ctes(self):
        return exclusions.open()

    @property
    def window_functions(self):
        return exclusions.open()

    @property
    def intersect(self):
        return exclusions.open()

    except_ = intersect

    @property
    def json_type(self):
        return exclusions.open()

    @property
    def reflect_table_options(self):
        return exclusions.open()

    @property
    def foreign_keys_reflect_as_index(self):
        return exclusions.open()

    @property
    def unique_constraints_reflect_as_index(self):
        return exclusions.open()

    @property
    def unique_index_reflect_as_unique_constraints(self):
        return exclusions.open()
