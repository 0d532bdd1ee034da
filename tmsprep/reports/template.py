"""A report's HTML from its template."""

from __future__ import annotations

import json
from importlib.resources import files

from tmsprep import __version__
from tmsprep.disclaimer import DISCLAIMER


def render_report(template: str, **values: object) -> str:
    """Fill in a template of `tmsprep.data`.

    Everything is escaped but the style sheet, and a name that is not given is an error. The
    template may import macros from others beside it.

    Parameters
    ----------
    template : str
        File name.
    **values : object
        What it shows; version, disclaimer and style are added.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    data = files('tmsprep.data')
    environment = Environment(
        loader=FunctionLoader(lambda name: data.joinpath(name).read_text(encoding='utf-8')),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters['plain'] = _plain
    return environment.get_template(template).render(
        version=__version__,
        disclaimer=DISCLAIMER,
        style=Markup(data.joinpath('report.css').read_text(encoding='utf-8')),
        **values,
    )


def _plain(value: object) -> str:
    """Show a sidecar's value: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
