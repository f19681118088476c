"""The images of classifiers: digits, folders of pictures, augmentation, and batches."""
