"""The probe: sends what the identification asks for and reports what was answered."""
