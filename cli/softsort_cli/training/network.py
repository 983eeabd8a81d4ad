"""The network that learns to classify images."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped


class Classifier(nn.Module):
    """A small convolutional network: from images to a logit for each class.

    Two blocks of convolution 3x3, relu, convolution 3x3, relu and max-pooling by 2, of
    32 and 64 features; a dense layer of 512, relu; a dense layer of `classes`.
    """

    classes: int

    @nn.compact
    def __call__(
        self, images: Shaped[Array, "batch h w c"]
    ) -> Float[Array, "batch classes"]:
        """Return logits. Images may be in any unit: each is standardised first."""
        x = standardised(images)
        for features in (32, 64):
            x = nn.relu(nn.Conv(features, (3, 3))(x))
            x = nn.relu(nn.Conv(features, (3, 3))(x))
            x = nn.max_pool(x, (2, 2), strides=(2, 2))
        x = nn.relu(nn.Dense(512)(x.reshape(x.shape[0], -1)))
        return nn.Dense(self.classes)(x)


def standardised(images: Shaped[Array, "batch h w c"]) -> Float[Array, "batch h w c"]:
    """Give each image mean 0 and variance 1; a constant image becomes 0."""
    pixels = images.astype(jnp.float32)
    centred = pixels - jnp.mean(pixels, axis=(1, 2, 3), keepdims=True)
    variance = jnp.mean(centred**2, axis=(1, 2, 3), keepdims=True)
    return centred / jnp.sqrt(jnp.where(variance > 0, variance, 1))
