"""Checks that the options fit the protocol."""

from __future__ import annotations

from tmsprep.config import RECIPES_OF, RunConfig

_OF_COREUNET = {
    'epochs': '--epochs',
    'held_out': '--held-out',
    'augmentation': '--augmentation',
    'segmentation': '--segmentation',
}
_OF_MULTIRESOLUTION = {
    'steps': '--steps',
    'residual': '--residual',
    'members': '--members',
    'atlas': '--atlas',
    'agreement_overrides': '--agreement-overrides',
}


def check_protocol(config: RunConfig) -> None:
    """Refuse a protocol that cannot be read, and options that it would ignore.

    Raises
    ------
    ValueError
        With the option and the cure.
    """
    from tmsprep.protocols import load_protocol

    try:
        protocol = load_protocol(config.protocol)
    except (OSError, ValueError) as error:
        raise ValueError(f'--protocol: {error}') from error
    foreign = _OF_MULTIRESOLUTION if 'coreunet' in protocol.methods else _OF_COREUNET
    for field, option in foreign.items():
        if getattr(config, field) != getattr(RunConfig, field):
            raise ValueError(
                f'{option} means nothing for protocol {protocol.name}; leave the option out'
            )
    if 'coreunet' in protocol.methods and 'syn' in config.localizers:
        raise ValueError(
            f'--localizers syn: no atlas is registered for protocol {protocol.name}; leave the '
            'option out'
        )
    recipes = RECIPES_OF['coreunet' if 'coreunet' in protocol.methods else 'multiresolution']
    if config.recipe not in recipes:
        raise ValueError(
            f'--recipe {config.recipe} is of another protocol; for {protocol.name} choose from '
            f'{", ".join(recipes)}'
        )
