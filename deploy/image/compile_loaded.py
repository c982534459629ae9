"""Compiles to bytecode what a program loads when it starts, and nothing else; run while an image is built.

A container's root is read-only, so without this each start would compile everything anew; and bytecode of all
that is installed would make the image half as large again. The bytecode is marked as valid whatever the
source's time is: the sources cannot change, and the image's content depends on nothing but its inputs.

    python compile_loaded.py PACKAGE…     imports the packages with all their modules
"""

from __future__ import annotations

import importlib
import pkgutil
import py_compile
import sys


def main() -> None:
    """Import everything below the packages named, and compile each file that this has loaded."""
    sys.dont_write_bytecode = True
    for name in sys.argv[1:]:
        package = importlib.import_module(name)
        for found in pkgutil.walk_packages(package.__path__, f"{name}."):
            importlib.import_module(found.name)
    files = {
        file
        for module in list(sys.modules.values())
        if (file := getattr(module, "__file__", None)) and file.endswith(".py") and file != __file__
    }
    for file in sorted(files):
        py_compile.compile(
            file, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
        )
    print(f"{len(files)} modules compiled")


if __name__ == "__main__":
    main()
