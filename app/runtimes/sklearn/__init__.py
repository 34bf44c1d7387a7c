"""scikit-learn estimators: `model` loads and calls them, `inputs` finds out what they take."""
