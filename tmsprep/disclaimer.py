"""What every output says about its use."""

DISCLAIMER = (
    'tmsprep is research software. It is not a medical device, has not been cleared or approved '
    'by any regulator, and must not be used as the sole basis for diagnosis or treatment. '
    'Targets are estimates and can be wrong by centimetres. A qualified clinician must check '
    "each target on the patient's own MRI, including the side, before any stimulation."
)
