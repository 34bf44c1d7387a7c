"""scikit-learn estimators: `pickles` reads them, `model` calls them,
`inputs` and `outputs` find out what they take and give.
"""
