"""Text that every machine has: the source of the running Python's standard library, a fixed list of its modules.

Some 6 MB of code and of the English that explains it, with nothing to fetch and nothing to pass on. The list holds what
Python 3.11 to 3.13 share and what systems that strip the library leave in place: no tests, tables, removed modules.
The text still differs from one version of Python to the next, so losses are compared at equal hash only.
"""

from __future__ import annotations

import sysconfig
from pathlib import Path

from deepwide.errors import BadInput
from deepwide.lab.data.documents import Document, file_document

NAMES = ("", "stdlib")
LEAST_SHARE = 0.5  # with fewer of its modules than that, a library has no source to speak of

MODULES = {
    "": """
        _collections_abc _pyio _strptime argparse ast base64 bdb bisect bz2 calendar cmd code codecs codeop
        colorsys compileall configparser contextlib copy copyreg csv dataclasses difflib dis doctest enum
        filecmp fileinput fnmatch fractions ftplib functools genericpath getopt getpass gettext glob graphlib
        gzip hashlib heapq hmac imaplib inspect io ipaddress linecache lzma mailbox mimetypes modulefinder netrc
        ntpath numbers operator optparse os pdb pickle pickletools pkgutil platform plistlib poplib posixpath
        pprint pstats pty py_compile pyclbr pydoc queue quopri random reprlib rlcompleter runpy sched secrets
        selectors shelve shlex shutil smtplib socket socketserver ssl statistics subprocess symtable tabnanny
        tarfile tempfile textwrap threading timeit tokenize trace traceback tracemalloc types typing uuid
        warnings weakref webbrowser zipapp zipimport""",
    "asyncio/": """
        base_events base_futures base_subprocess coroutines events futures locks queues runners selector_events
        sslproto staggered streams subprocess taskgroups tasks timeouts transports unix_events""",
    "collections/": "__init__",
    "concurrent/futures/": "_base process thread",
    "ctypes/": "util",
    "email/": """
        _header_value_parser _parseaddr _policybase charset contentmanager feedparser generator header
        headerregistry message policy quoprimime utils""",
    "html/": "parser",
    "http/": "client cookiejar cookies server",
    "importlib/": "_bootstrap _bootstrap_external abc util",
    "importlib/metadata/": "__init__",
    "json/": "__init__ decoder encoder scanner",
    "logging/": "__init__ config handlers",
    "multiprocessing/": """
        connection context forkserver heap managers pool process queues reduction resource_tracker shared_memory
        spawn synchronize util""",
    "re/": "__init__ _compiler _parser",
    "tomllib/": "_parser",
    "unittest/": "async_case case loader main mock result runner signals suite util",
    "urllib/": "error parse request response robotparser",
    "wsgiref/": "handlers headers simple_server util validate",
    "xml/dom/": "expatbuilder minidom pulldom xmlbuilder",
    "xml/etree/": "ElementPath ElementTree",
    "xml/sax/": "expatreader handler saxutils xmlreader",
    "xmlrpc/": "client server",
    "zoneinfo/": "_tzpath _zoneinfo",
}


def standard_library(folder: Path | None = None) -> tuple[list[Document], list[str]]:
    """The modules of the list that this Python has, and a note on those that it lacks."""
    folder = folder or Path(sysconfig.get_path("stdlib"))
    names = [f"{place}{name}.py" for place, names in MODULES.items() for name in names.split()]
    present = [name for name in names if (folder / name).is_file()]
    if len(present) < LEAST_SHARE * len(names):
        raise BadInput(
            f"the standard library of this Python has the source of {len(present)} of {len(names)} modules only; "
            "give text of your own: a file, a folder or a glob"
        )
    missing = sorted(set(names) - set(present))
    notes = [f"{len(missing)} modules of the list are not on this machine: {', '.join(missing[:5])}"] if missing else []
    return [file_document(folder / name, name=name) for name in present], notes
