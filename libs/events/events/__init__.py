"""The delivery core that Clozit's services share: what an event is, how it is published, consumed and kept."""
