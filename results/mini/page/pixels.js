// From the data's grey PNGs to numbers, and from numbers to pictures.
"use strict";
SGR.pixels = {
  canvas(width, height) {
    return Object.assign(document.createElement("canvas"), { width, height });
  },

  // A picture from a data URL: its width, height and RGBA values.
  async read(url) {
    const image = new Image();
    image.src = url;
    await image.decode();
    const canvas = SGR.pixels.canvas(image.naturalWidth, image.naturalHeight);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, canvas.width, canvas.height);
  },

  // The grey values of such a picture.
  async grey(url) {
    const { width, height, data } = await SGR.pixels.read(url);
    return { width, height, values: Uint8Array.from({ length: width * height }, (_, n) => data[4 * n]) };
  },

  // A map of classes in their colours, what is no class in light grey, on a canvas.
  classes(canvas, { width, height, values }, colours) {
    Object.assign(canvas, { width, height });
    const picture = new ImageData(width, height);
    values.forEach((one, n) => picture.data.set([...(colours[one] ?? [225, 225, 225]), 255], 4 * n));
    canvas.getContext("2d").putImageData(picture, 0, 0);
  },

  // matplotlib's inferno from 0.2 to 0.85, at five places.
  HEAT: [[51, 10, 95], [120, 28, 109], [188, 55, 84], [237, 105, 37], [251, 180, 26]],

  // A token as heat on a grey photograph, as in Figure 4. weights: h x w cells of 0..255; covers: as the data have it.
  heat(canvas, photo, weights, covers) {
    const { width, height } = photo;
    Object.assign(canvas, { width, height });
    const small = SGR.pixels.canvas(weights.width, weights.height);
    const cells = new ImageData(weights.width, weights.height);
    weights.values.forEach((one, n) => cells.data.set([one, one, one, 255], 4 * n));
    small.getContext("2d").putImageData(cells, 0, 0);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.imageSmoothingEnabled = true;
    context.drawImage(small, 0, 0, width * covers[1], height * covers[0]);
    const picture = context.getImageData(0, 0, width, height);
    for (let n = 0; n < picture.data.length; n += 4) {
      const strength = picture.data[n] / 255;
      const grey = (photo.data[n] + photo.data[n + 1] + photo.data[n + 2]) / 3;
      const place = strength * (SGR.pixels.HEAT.length - 1);
      const low = Math.min(Math.floor(place), SGR.pixels.HEAT.length - 2);
      for (let channel = 0; channel < 3; channel += 1) {
        const [from, to] = [SGR.pixels.HEAT[low][channel], SGR.pixels.HEAT[low + 1][channel]];
        const hot = from + (to - from) * (place - low);
        picture.data[n + channel] = grey * 0.5 * (1 - strength) + (0.5 * grey + 0.65 * hot) * strength;
      }
    }
    context.putImageData(picture, 0, 0);
  },

  // The cell's weight under a place of the image, x and y from 0 to 1.
  at({ width, height, values }, covers, x, y) {
    const column = Math.min(width - 1, Math.floor((x / covers[1]) * width));
    const row = Math.min(height - 1, Math.floor((y / covers[0]) * height));
    return values[row * width + column];
  },

  // Cosine of two tokens over all images, each seen on a grid of 32 x 32 places.
  cosine(one, other) {
    let [product, left, right] = [0, 0, 0];
    one.forEach((value, n) => {
      product += value * other[n];
      left += value * value;
      right += other[n] * other[n];
    });
    return left && right ? product / Math.sqrt(left * right) : 0;
  },
  sampled(weights, covers) {
    const places = Array.from({ length: 32 }, (_, n) => (n + 0.5) / 32);
    return places.flatMap((y) => places.map((x) => SGR.pixels.at(weights, covers, x, y)));
  },
};
