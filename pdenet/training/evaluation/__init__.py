"""The evaluation of classifiers: metrics, mistakes, and a page that shows them."""
