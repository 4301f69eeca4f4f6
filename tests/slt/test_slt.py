"""The sqllogictest files on Pando, in one process and in many, and on the referee, MariaDB."""

import pytest
import records
import runner
import targets

SHOWN = 20


@pytest.fixture(scope="session", params=["single", "processes", "mariadb"])
def server(request):
    """Pando's servers are those that the tests of clients use, too."""
    address = request.config.getoption("--slt-address")
    if request.param == "mariadb":
        with targets.referee_started() as server:
            yield server
    elif address is not None:
        yield targets.Pando([targets.split(address)])
    else:
        found = request.getfixturevalue(request.param)
        entries = [found] if request.param == "single" else found.aggregators
        yield targets.Pando([entry.address for entry in entries])


@pytest.mark.parametrize("path", targets.files(), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_file(server, path):
    file = records.read(path)
    differences = list(runner.run(file, server))
    shown = "\n".join(targets.report(file, record, found) for record, found in differences[:SHOWN])
    assert not differences, f"{len(differences)} of {len(file.records)} records differ:\n{shown}"
