"""Programs for those who work on this repository; no image contains them."""
