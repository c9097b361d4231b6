"""Where the database file is: its URL, its rights, and whether it still is the file that was opened."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from kernel.model.errors import ConfigError, StoreError, shown

log = logging.getLogger(__name__)

SCHEME = "sqlite"
_PRIVATE_FILE = 0o600
_PRIVATE_FOLDER = 0o700


def beside(path: Path, suffix: str) -> Path:
    """A file that belongs to the store and stands next to it."""
    return path.with_name(path.name + suffix)


def path_of(url: str) -> Path:
    """``sqlite:///relative/path.db``, ``sqlite:////absolute/path.db``."""
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.netloc or parts.query or parts.fragment or not path.startswith("/") or len(path) < 2 or "\0" in path:
        raise ConfigError(
            f'{shown(url)}: expected "sqlite:///var/mainspring.db" (relative), or four strokes for an absolute path'
        )
    return Path(path[1:])


def is_file(path: Path) -> bool:
    """Whether there is one, and changes nothing; ConfigError when it cannot be used."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _unusable(path, error) from None
    if not stat.S_ISREG(found.st_mode):
        kind = "a symbolic link" if stat.S_ISLNK(found.st_mode) else "no ordinary file"
        raise ConfigError(f"{path}: this is {kind}, which is refused; name the file itself")
    if found.st_size == 0:
        raise ConfigError(
            f"{path}: this file is empty, and no store ever is; put a backup in its place, or delete it to begin anew"
        )
    return True


def make_folder(path: Path) -> None:
    """For a store that is about to be made."""
    missing = []
    folder = path.parent
    try:
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for one in reversed(missing):
            one.mkdir(_PRIVATE_FOLDER, exist_ok=True)
    except OSError as error:
        raise _unusable(path, error) from None


def tighten(path: Path) -> None:
    """Takes from others the right to read it, and what SQLite has put beside it."""
    for one in (path, beside(path, "-wal"), beside(path, "-shm")):
        try:
            mode = stat.S_IMODE(os.lstat(one).st_mode)
            if mode & 0o077:
                one.chmod(_PRIVATE_FILE)
                log.warning("%s: others could read it (mode %o); it is private now", one, mode)
        except FileNotFoundError:
            continue
        except OSError:
            log.warning("%s: others can read it, and that cannot be changed by this user; chmod it to 600", one)


def _unusable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"{path}: {error.strerror}; choose a path that can be written")


class Identity(NamedTuple):
    """Which file stood at a path."""

    path: Path
    device: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> Identity:
        found = os.lstat(path)
        return cls(path, found.st_dev, found.st_ino)

    def check(self) -> None:
        """StoreError when the path leads to another file now, or to none."""
        try:
            found = os.lstat(self.path)
        except OSError as error:
            what = "was deleted" if isinstance(error, FileNotFoundError) else f"is out of reach ({error.strerror})"
        else:
            if (found.st_dev, found.st_ino) == (self.device, self.inode):
                return
            what = "was replaced by another file"
        raise StoreError(
            f"{self.path}: this file of the store {what} while it was open: nothing is written any more; "
            "put it back, or restart"
        )
