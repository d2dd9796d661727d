//! Pairs of images that plain buildah built twice with the real tools.
