"""Sphinx builds the pages of docs/ as they are, and pages of all modules from their docstrings.

From the top of the checkout, so that links between pages hold here and on a code host:

    sphinx-build -W --keep-going -c docs . docs/_build
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.domains.python import ObjectEntry, PythonDomain
from sphinx.environment import BuildEnvironment

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT))

from tmsprep import __version__  # noqa: E402

project = 'tmsprep'
author = 'The tmsprep developers'
release = version = __version__
root_doc = 'README'
include_patterns = ['*.md', 'docs/*.md', 'docs/api.rst', 'docs/api/*.rst']
templates_path = [str(CHECKOUT / 'docs' / 'templates')]
extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.autosummary',
    'sphinx.ext.napoleon',
]
html_theme = 'furo'
html_title = f'tmsprep {version}'
html_show_copyright = False
myst_heading_anchors = 4

default_role = 'py:obj'
# Names that a package only passes on are described where they are defined.
autodoc_default_options = {'members': True, 'show-inheritance': True, 'ignore-module-all': True}
autodoc_member_order = 'bysource'
autodoc_mock_imports = ['ants', 'torch']
autodoc_typehints = 'none'
napoleon_google_docstring = False

# Pages of modules that are gone would stay.
shutil.rmtree(CHECKOUT / 'docs' / 'api', ignore_errors=True)


class Domain(PythonDomain):
    """Python objects by the names that docstrings use."""

    def find_obj(
        self,
        env: BuildEnvironment,
        modname: str,
        classname: str,
        name: str,
        kind: str | None,
        searchmode: int = 0,
    ) -> list[tuple[str, ObjectEntry]]:
        """Find the object itself, or else the only class of that name in the package."""
        found = super().find_obj(env, modname, classname, name, kind)
        last = name.rpartition('.')[2]
        if found or not last[:1].isupper():
            return found
        ends = [item for item in self.objects.items() if item[0].endswith(f'.{last}')]
        return ends if len(ends) == 1 else []


def add_navigation(app: Sphinx, docname: str, source: list[str]) -> None:
    """Append a table of contents to README: the pages it lists, in its order, and the modules."""
    if docname == root_doc:
        listed = source[0].partition('\n## Documentation\n')[2]
        pages = dict.fromkeys(re.findall(r'\(([\w/]+)\.md\)', listed))
        for caption, names in (('Pages', pages), ('Python', ['docs/api'])):
            lines = '\n'.join(names)
            source[0] += f'\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{lines}\n```\n'


def add_index(app: Sphinx, exception: Exception | None) -> None:
    """Write index.html, which leads to README."""
    if exception is None:
        page = f'<meta http-equiv="refresh" content="0; url={root_doc}.html">\n'
        (Path(app.outdir) / 'index.html').write_text(page, encoding='utf-8')


def setup(app: Sphinx) -> None:
    """Connect the functions above."""
    app.add_domain(Domain, override=True)
    app.connect('source-read', add_navigation)
    app.connect('build-finished', add_index)
