"""What is localised: named lists of targets, read from TOML."""

from tmsprep.protocols.protocol import Protocol, Target, load_protocol, protocol_names

__all__ = ['Protocol', 'Target', 'load_protocol', 'protocol_names']
