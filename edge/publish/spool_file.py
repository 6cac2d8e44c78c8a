"""The spool's file: its layout, how it is opened, and what becomes of one that cannot be used."""

import os
import sqlite3
import zlib
from pathlib import Path

_MAGIC = b"SQLite format 3\0"  # how each database begins
_APPLICATION_ID = 0x52464445  # "RFDE", in the file's header
_SCHEMA_VERSION = 1
_KEPT_ASIDE = 3  # damaged files of one kind; the next one takes the place of the last
_WAL_PAGES = 256  # 1 MiB, from which on it is brought into the file
_LOCK_WAIT_S = 0.5

_SCHEMA = (
    # at_s is spool time (see SpoolAge). The body comes last: SQLite reads the columns before it
    # without its overflow pages.
    """CREATE TABLE events (
        id INTEGER PRIMARY KEY, camera TEXT NOT NULL, session TEXT NOT NULL, seq INTEGER NOT NULL,
        type TEXT NOT NULL, event_id TEXT NOT NULL, at_s REAL NOT NULL, checksum INTEGER NOT NULL,
        body BLOB NOT NULL)""",
    "CREATE INDEX events_of_camera ON events (camera, id)",
    """CREATE TABLE open_objects (
        event_id TEXT PRIMARY KEY, camera TEXT NOT NULL, session TEXT NOT NULL,
        checksum INTEGER NOT NULL, body BLOB NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE line_totals (
        camera TEXT NOT NULL, line TEXT NOT NULL, label TEXT NOT NULL, ins INTEGER NOT NULL,
        outs INTEGER NOT NULL, PRIMARY KEY (camera, line, label)) WITHOUT ROWID""",
    # One row: when the spool was last known to be written.
    """CREATE TABLE moment (
        one INTEGER PRIMARY KEY CHECK (one = 1), boot_id TEXT NOT NULL, uptime_s REAL NOT NULL,
        spool_s REAL NOT NULL, synced_boot_id TEXT, synced_wall_s REAL, synced_spool_s REAL,
        synced_last_id INTEGER)""",
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {_SCHEMA_VERSION}",
)


class SpoolError(Exception):
    """What is at the path is another's: a process has it open, or it never was a spool.

    One sentence that starts with the key.
    """

    exit_code = 78


class NotASpool(Exception):  # noqa: N818 - says what it is
    """A spool that is damaged, or of another release; ``str`` says why. It is to be set aside."""

    def __init__(self, why: str, suffix: str = "corrupt") -> None:
        super().__init__(why)
        self.suffix = suffix


def open_database(path: Path) -> sqlite3.Connection:
    """Open the spool at ``path``, made new where there is none.

    The connection holds the file's lock as long as it is open, also where the process is killed
    then. Raises ``SpoolError`` where another process holds it or something else is there, which is
    left as it is, ``NotASpool`` where the file has to go, ``OSError`` or
    ``sqlite3.OperationalError`` where the disk does not let us.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _refuse_other_files(path)
    db = connect(path)
    try:
        _prepare(db, path)
    except BaseException as error:
        db.close()
        if isinstance(error, sqlite3.Error):
            if is_lock(error):
                raise SpoolError(
                    f"spool.path: {path} is in use by another process: each daemon needs a node, "
                    "a state_dir and a spool of its own"
                ) from error
            if is_damage(error):
                raise NotASpool(f"it is damaged: {error}") from error
        raise
    return db


def connect(path: Path) -> sqlite3.Connection:
    """A connection alone; text that is not UTF-8 comes back as text that no checksum fits."""
    # Opened by the main thread, used by the spool thread alone from its start on.
    db = sqlite3.connect(path, timeout=_LOCK_WAIT_S, isolation_level=None, check_same_thread=False)
    db.text_factory = _lenient_text
    # With the lock comes a WAL index in our own memory: no -shm file that a full disk cannot hold.
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    return db


def _refuse_other_files(path: Path) -> None:
    """Raises ``SpoolError`` where a wrong path names what cannot be a spool, damaged or not."""
    if path.is_dir():
        raise _not_ours(path, "a folder")
    if path.exists() and not path.is_file():
        raise _not_ours(path, "no regular file")
    # Damage can hit the first bytes too: a name that is a database's is believed.
    if path.is_file() and not path.name.endswith(".db"):
        with path.open("rb") as file:
            begin = file.read(len(_MAGIC))
        if begin not in (b"", _MAGIC):
            raise _not_ours(path, "no database")


def _not_ours(path: Path, what: str) -> SpoolError:
    return SpoolError(f"spool.path: {path} is {what}: the spool needs a file of its own")


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    application_id, version = (
        db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    )
    names = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
    is_new = not names
    if not is_new and application_id != _APPLICATION_ID:
        # Both came in one transaction; others have a table of events too.
        if not {"events", "open_objects"} <= names:
            raise _not_ours(path, "a database of something else")
        raise NotASpool("it is not marked as a spool")
    if version > _SCHEMA_VERSION:
        raise NotASpool(f"a newer release wrote it (layout {version})", "newer")
    (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise sqlite3.OperationalError(f"the journal mode is {mode}, not wal")
    db.execute("PRAGMA synchronous = FULL")  # a commit returns when it is on the disk
    db.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
    db.execute(f"PRAGMA journal_size_limit = {4096 * _WAL_PAGES}")
    db.execute("PRAGMA temp_store = MEMORY")
    if is_new:
        db.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA:
            db.execute(statement)
        db.execute("COMMIT")
    for table in ("events", "open_objects", "line_totals", "moment"):
        db.execute(f"SELECT * FROM {table} LIMIT 1").fetchone()


def _lenient_text(text: bytes) -> str:
    return text.decode("utf-8", errors="replace")


def checksum(body: bytes, *fields: object) -> int:
    """Of one row. SQLite notices damage to its own structure only."""
    return zlib.crc32(body, zlib.crc32("\0".join(map(str, fields)).encode()))


def is_lock(error: sqlite3.Error) -> bool:
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)


def is_damage(error: sqlite3.Error) -> bool:
    """True for what only another file helps against; else the disk may work again."""
    # SQLITE_CORRUPT and SQLITE_NOTADB come as DatabaseError itself, constraints that our own rows
    # cannot break as IntegrityError, a layout that is not ours as "no such table" or "column".
    return not isinstance(error, sqlite3.OperationalError) or "no such" in str(error)


def is_full(error: Exception) -> bool:
    return isinstance(error, sqlite3.OperationalError) and "is full" in str(error)


def set_aside(path: Path, suffix: str) -> Path:
    """Rename what is at ``path``, and its write-ahead log; returns the new path.

    Raises ``OSError``.
    """
    names = [f"{path.name}.{suffix}", *(f"{path.name}.{suffix}-{n}" for n in range(1, _KEPT_ASIDE))]
    free = [name for name in names if not path.with_name(name).exists()]
    aside = path.with_name((free or names[-1:])[0])
    for end in ("-wal", "-shm"):
        companion, its_aside = (file.with_name(file.name + end) for file in (path, aside))
        its_aside.unlink(missing_ok=True)
        if companion.exists():
            os.replace(companion, its_aside)
    if aside.is_file():
        aside.unlink()
    os.replace(path, aside)
    return aside


def remove(path: Path) -> None:
    """Delete the file at ``path`` and its write-ahead log. Raises ``OSError``."""
    path.unlink()
    path.with_name(path.name + "-wal").unlink(missing_ok=True)
