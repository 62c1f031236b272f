"""Does a Wasserstein GAN with gradient penalty make MNIST digits as well?

Gulrajani et al. 2017, algorithm 1: five turns of the critic a step, Adam (0, 0.9) with
learning rate 1e-4, penalty 10; the critic has layer norms. A step's batch of 320 is
shared out among the critic's turns. 32 x 32, to be set beside `dcgan_mnist.py:32`:

    jdeconv train --config configs/wgan_gp_mnist.py --workdir runs/wgan_gp_mnist

Expected: sliced Wasserstein distance 10.5 from the 10,000 test images and MS-SSIM 0.160
by one run (configs/results/wgan_gp_mnist.json): an hour of 2 CPU cores by its rate of
500 images a second (held up, it took two). After 2000 steps it had 10.6 and 0.154,
after 4000 7.6 and 0.157. `dcgan_mnist.py:32` has 7.5, as many training images 4.2.
Data: TFDS "mnist".
"""

from jdeconv import train


def get_config():
    """No argument."""
    config = train.default_config()
    config.task = "generate"
    config.loss = "wasserstein"
    config.model.name = "dcgan"
    config.model.width = 32
    config.model.norm = "layer"
    config.data.source = "tfds:mnist"
    config.preprocess.size = (32, 32)
    config.preprocess.range = (-1.0, 1.0)
    config.generate.discriminator_steps = 5
    config.batch_size = 320
    config.eval_batch_size = 128
    config.optimizer.learning_rate = 1e-4
    config.optimizer.beta1 = 0.0
    config.optimizer.beta2 = 0.9
    config.duration = "5000 steps"
    config.ema_decay = 0.999
    config.log_every = 50
    config.eval_every = "1000 steps"
    config.checkpoint_every = "500 steps"
    return config.lock()
