"""The speaker space: enrolment, targets by name, attribute directions and interpolation between speakers."""
