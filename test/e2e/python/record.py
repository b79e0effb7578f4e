"""Which methods of hvac were called: the wrapping, and what is left at the end."""

import functools
import inspect

from hvac.api import auth_methods, secrets_engines, system_backend

WATCHED = (
    system_backend.SystemBackend,
    auth_methods.Token,
    auth_methods.AppRole,
    auth_methods.Userpass,
    secrets_engines.KvV1,
    secrets_engines.KvV2,
    secrets_engines.Identity,
)

# Not the library's calls of the server.
EXCUSED = {
    "KvV2.read_secret": "read_secret_version by another name",
}

called = set()


def methods(cls):
    """Public methods of a class and of what it is made of, by name, with who defines them."""
    for base in reversed(inspect.getmro(cls)):
        if not base.__module__.startswith("hvac.api.") or ".vault_api_" in base.__module__:
            continue
        for name, member in vars(base).items():
            function = member.__func__ if isinstance(member, staticmethod) else member
            if not name.startswith("_") and inspect.isfunction(function):
                yield base, name, member, function


def watch():
    for cls in WATCHED:
        for base, name, member, function in list(methods(cls)):
            if getattr(function, "watched", False):
                continue

            @functools.wraps(function)
            def wrapper(*args, _function=function, _name=f"{cls.__name__}.{name}", **kwargs):
                called.add(_name)
                return _function(*args, **kwargs)

            wrapper.watched = True
            setattr(base, name, staticmethod(wrapper) if isinstance(member, staticmethod) else wrapper)


def left():
    """The methods that nobody called and nobody excused, and the excuses that are none."""
    every = {f"{cls.__name__}.{name}" for cls in WATCHED for _, name, _, _ in methods(cls)}
    return sorted(every - called - set(EXCUSED)), sorted(set(EXCUSED) & called)
