"""The settings of a run, decided from protocol, settings file and command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tmsprep.bids.names import shorten
from tmsprep.cli.places import closest
from tmsprep.config import CONFIGS, SETTINGS, RunConfig, read_settings
from tmsprep.methods import method_names, method_options, names_of
from tmsprep.options import LEVELS, NEUTRAL_GROUPS, Option, settle
from tmsprep.protocols import Protocol, load_protocol

#: Settings for one image in place of a data set, and for data sets alone.
_OF_IMAGES = ('image_id', 'series')
_OF_DATA_SETS = (
    *('participant_label', 'session_label', 'bids_filters', 'bids_database_dir'),
    'skip_bids_validation',
)


def make_config(
    analysis_level: str,
    folders: Mapping[str, Path],
    config_file: Path | None = None,
    source: Path | None = None,
    **given: Any,
) -> RunConfig:
    """Decide the settings of a run: defaults, replaced by those of the protocol, and so on.

    Parameters
    ----------
    analysis_level : str
        One of `tmsprep.options.LEVELS`.
    folders : mapping
        Name to path, for all `RunConfig.folders` of the level.
    config_file : Path, optional
        TOML file whose settings replace the defaults; those of other levels and protocols are
        checked, and named in the notes of the result.
    source : Path, optional
        An image in place of a data set.
    **given : Any
        Settings and options of methods, as on the command line, which replace all others.

    Raises
    ------
    ValueError
        If an option is unknown, of another analysis level or protocol, or out of range.
    """
    saved = {} if config_file is None else read_settings(config_file)
    _refuse_unknown(saved, str(config_file))
    protocol = _protocol({**saved, **given})
    of_methods = {o.name: o for name in names_of(protocol) for o in method_options(name)}
    options = {**of_methods, **SETTINGS}
    _refuse_misplaced(given, options, analysis_level, protocol)
    _refuse_choices(given, source)
    sources = {
        f'protocol {protocol.name}': _defaults(protocol, analysis_level),
        str(config_file): saved,
        '': given,
    }
    values = settle(options.values(), sources, analysis_level)
    values |= {name: path.absolute() for name, path in folders.items()}
    unused = _unused(saved, options, analysis_level, str(config_file))
    if 'localizers' in values:
        values['localizers'] = names_of(protocol, values['localizers'])
    if 'targets' in values:
        values['targets'] = _in_order(values['targets'], protocol)
    if source is not None:
        values |= {'source': source.absolute(), 'participant_label': (values['image_id'],)}
    return CONFIGS[analysis_level](
        method_options={name: values.pop(name) for name in of_methods if name in values},
        notes=unused,
        **values,
    )


def _protocol(settings: Mapping[str, Any]) -> Protocol:
    option = SETTINGS['protocol']
    name = option.check(settings.get('protocol', option.default), '')
    try:
        protocol = load_protocol(name)
        names_of(protocol)
    except (OSError, ValueError) as error:
        raise ValueError(f'--protocol: {error}') from error
    return protocol


def _defaults(protocol: Protocol, level: str) -> dict[str, Any]:
    """Defaults at one level that differ from those the options declare."""
    common = {name: value for name, value in protocol.defaults.items() if name not in LEVELS}
    defaults = {**common, **protocol.defaults.get(level, {})}
    _refuse_unknown(defaults, f'protocol {protocol.name}')
    filters = {'bids_filters': protocol.filter} if protocol.filter else {}
    return {'device': 'auto', **filters, **defaults}


def _refuse_unknown(names: Iterable[str], where: str) -> None:
    known = SETTINGS.keys() | {o.name for name in method_names() for o in method_options(name)}
    for name in names:
        if name not in known:
            all_names = ', '.join(sorted(known))
            raise ValueError(f'{where}: unknown setting {name!r} (known: {all_names})')


def _refuse_misplaced(
    given: Iterable[str], options: Mapping[str, Option], level: str, protocol: Protocol
) -> None:
    """Refuse options of other levels and protocols, unless they could not change the results."""
    for name in given:
        option = options.get(name)
        if option is None:
            flag = f'--{name.replace("_", "-")}'
            raise ValueError(f'{flag} has no use in protocol {protocol.name}; leave it out')
        if level in option.levels or option.group in NEUTRAL_GROUPS:
            continue
        levels = ' and '.join(option.levels)
        reason = f', {option.refusals[level]}' if level in option.refusals else ''
        raise ValueError(
            f'{option.flag} is an option of {levels}, not of {level}{reason}; leave it out'
        )


def _in_order(chosen: Sequence[str], protocol: Protocol) -> tuple[str, ...]:
    """Return the labels of chosen targets in the order of the protocol."""
    for label in chosen:
        if label not in protocol.labels:
            # Labels are in capitals, and typed in small letters.
            near = {known.lower(): known for known in protocol.labels}
            meant = closest(label.lower(), near)
            hint = f'did you mean {near[meant]}? All are' if meant else 'there are'
            raise ValueError(
                f'--targets: no {label!r} in protocol {protocol.name}; {hint} '
                f'{shorten(list(protocol.labels), 40)}'
            )
    return tuple(label for label in protocol.labels if label in chosen)


def _refuse_choices(given: Iterable[str], source: Path | None) -> None:
    """Refuse what chooses from a data set where there is an image, and the reverse."""
    names, what = (_OF_IMAGES, 'a data set') if source is None else (_OF_DATA_SETS, 'one image')
    for name in names:
        if name in given:
            hint = (
                'participants are chosen by --participant-label'
                if source is None
                else ('its participant is named by --id')
            )
            raise ValueError(f'{SETTINGS[name].flag} has no use for {what}; {hint}')


def _unused(
    saved: Mapping[str, Any], options: Mapping[str, Option], level: str, where: str
) -> tuple[str, ...]:
    """Name the settings of a file that this level or protocol has not, and check their values.

    Raises
    ------
    ValueError
        If a value is out of range, which would be found only when its level is run.
    """
    declared = {o.name: o for name in method_names() for o in method_options(name)}
    names = []
    for name, value in saved.items():
        option = options.get(name) or {**declared, **SETTINGS}[name]
        neutral = option.group in NEUTRAL_GROUPS
        # What text of a resource means is decided by the machine, and no GPU need be here.
        if (name in options and level in option.levels) or (neutral and option.read):
            continue
        try:
            # Files of another level need not be there.
            replace(option, exists='').check(value, option.levels[0])
        except ValueError as error:
            raise ValueError(f'{where}: {error}') from error
        if not neutral:
            names.append(name)
    reason = f'{where}: not used at the level {level} of this protocol: {", ".join(names)}'
    return (reason,) if names else ()
