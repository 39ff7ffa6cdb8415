"""The address of a database that holds a study."""

from __future__ import annotations

from ofa.errors import InvalidInput, nearest

# The keys are also the extras that install them: ofa-search[...]
DRIVERS = {"postgresql": "psycopg", "mysql": "pymysql"}
USER, PASSWORD = "OFA_STORAGE_USER", "OFA_STORAGE_PASSWORD"


def check_address(address: str) -> str:
    """Returns the address of a database for a study.

    Raises:
        InvalidInput: it is not an address, holds a password, or is of a database that is slow with many writers.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(address)
    except ArgumentError:
        raise InvalidInput(
            "storage is not an address; it must be null or like postgresql://db.host/ofa"  # the value could be a secret
        ) from None
    if url.password is not None or any("pass" in key.lower() for key in url.query):
        raise InvalidInput(
            "storage holds a password, and configurations are written to disk and shown: "
            f"leave it out and set {PASSWORD} (and {USER}) in the environment"
        )
    if url.drivername.startswith("sqlite"):
        raise InvalidInput(
            f"storage={address} is SQLite, where every suggestion waits for the one writer that it has: "
            "leave storage out for the journal file, which is quicker, or use postgresql:// for several machines"
        )
    if url.drivername not in DRIVERS:
        raise InvalidInput(f"storage={address}: {url.drivername!r} is not known; {nearest(url.drivername, DRIVERS)}")
    if not url.database:
        raise InvalidInput(f"storage={address} names no database; it must be like {url.drivername}://db.host/ofa")
    return address
