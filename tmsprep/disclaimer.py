"""Statement in every output about its use."""

from __future__ import annotations

from tmsprep.protocols import Protocol

#: Holds for every protocol; `disclaimer` adds what the protocol says.
DISCLAIMER = (
    'tmsprep is research software. It is not a medical device, has not been cleared or approved '
    'by any regulator, and must not be used as the sole basis for diagnosis or treatment. '
    'Points are estimates and can be wrong by centimetres.'
)


def disclaimer(protocol: Protocol) -> str:
    """Disclaimer of the outputs of one protocol."""
    return f'{DISCLAIMER} {protocol.words["caution"]}'
