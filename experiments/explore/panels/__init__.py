"""The parts of the page: each lays out its controls and says what happens when they are used."""
