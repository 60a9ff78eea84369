//! Pictures of pages, and how two of them differ.

use std::io::Cursor;

use png::{BitDepth, ColorType, Decoder, Encoder, Limits, Transformations};

use crate::stream::BoxError;

/// The most memory that a picture may take while it is read.
const LIMIT_BYTES: usize = 256 * 1024 * 1024;

/// A picture as pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    /// Red, green, blue; line by line from the top.
    pixels: Vec<[u8; 3]>,
}

/// How two pictures differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The share of pixels that differ: 0 is none, 1 is all. What only one of the two covers differs.
    pub share: f64,
    /// The later picture, pale, with all that differs in red.
    pub picture: Picture,
}

impl Picture {
    /// Reads a PNG with 8 bits a channel, as browsers make them. What shines through is taken as it is.
    pub fn from_png(bytes: &[u8]) -> Result<Self, BoxError> {
        let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: LIMIT_BYTES });
        decoder.set_transformations(Transformations::normalize_to_color8());
        let mut reader = decoder.read_info()?;
        let size = reader.output_buffer_size().filter(|size| *size <= LIMIT_BYTES).ok_or("the picture is too large")?;
        let mut bytes = vec![0; size];
        let frame = reader.next_frame(&mut bytes)?;
        bytes.truncate(frame.buffer_size());
        let pixels = match frame.color_type {
            ColorType::Rgb => bytes.chunks_exact(3).map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect(),
            ColorType::Rgba => bytes.chunks_exact(4).map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect(),
            ColorType::Grayscale => bytes.iter().map(|grey| [*grey; 3]).collect(),
            ColorType::GrayscaleAlpha => bytes.chunks_exact(2).map(|pixel| [pixel[0]; 3]).collect(),
            ColorType::Indexed => return Err("the picture's palette was not resolved".into()),
        };
        Ok(Self { width: frame.width as usize, height: frame.height as usize, pixels })
    }

    /// Writes it as a PNG.
    pub fn to_png(&self) -> Result<Vec<u8>, BoxError> {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, u32::try_from(self.width)?, u32::try_from(self.height)?);
        encoder.set_color(ColorType::Rgb);
        encoder.set_depth(BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(self.pixels.as_flattened())?;
        writer.finish()?;
        Ok(bytes)
    }

    /// Whether all of it has one colour, or as good as.
    pub fn is_plain(&self) -> bool {
        const AS_GOOD_AS: u8 = 2;
        self.pixels.first().is_none_or(|first| self.pixels.iter().all(|pixel| !differ(*first, *pixel, AS_GOOD_AS)))
    }

    fn pixel(&self, x: usize, y: usize) -> Option<[u8; 3]> {
        (x < self.width).then(|| self.pixels.get(y * self.width + x).copied()).flatten()
    }
}

/// Compares two pictures, corner to corner. A pixel differs where one of its channels is off by more than `tolerance`
/// of 255.
pub fn difference(before: &Picture, after: &Picture, tolerance: u8) -> Difference {
    const RED: [u8; 3] = [220, 0, 0];
    let (width, height) = (before.width.max(after.width), before.height.max(after.height));
    let mut pixels = Vec::with_capacity(width * height);
    let mut count = 0_usize;
    for y in 0..height {
        for x in 0..width {
            pixels.push(match (before.pixel(x, y), after.pixel(x, y)) {
                (Some(before), Some(after)) if !differ(before, after, tolerance) => after.map(pale),
                // In neither: a corner that one is too narrow for and the other too low.
                (None, None) => [255; 3],
                _ => {
                    count += 1;
                    RED
                }
            });
        }
    }
    #[allow(clippy::cast_precision_loss, reason = "pictures have far fewer pixels than 2 to the 52")]
    let share = if pixels.is_empty() { 0.0 } else { count as f64 / pixels.len() as f64 };
    Difference { share, picture: Picture { width, height, pixels } }
}

fn differ(one: [u8; 3], other: [u8; 3], tolerance: u8) -> bool {
    one.iter().zip(other).any(|(one, other)| one.abs_diff(other) > tolerance)
}

/// Three quarters of the way to white.
fn pale(channel: u8) -> u8 {
    191 + channel / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHITE: [u8; 3] = [255; 3];
    const GREY: [u8; 3] = [250; 3];
    const BLACK: [u8; 3] = [0; 3];

    fn picture(width: usize, pixels: &[[u8; 3]]) -> Picture {
        Picture { width, height: pixels.len() / width, pixels: pixels.to_vec() }
    }

    #[test]
    fn a_picture_survives_its_png() {
        let picture = picture(2, &[WHITE, BLACK, [1, 2, 3], GREY]);
        assert_eq!(Picture::from_png(&picture.to_png().unwrap()).unwrap(), picture);
        let png = picture.to_png().unwrap();
        assert!(Picture::from_png(&png[..png.len() / 2]).is_err());
        assert!(Picture::from_png(b"GIF89a").is_err());
    }

    #[test]
    fn a_picture_that_claims_to_be_huge_is_refused() {
        let mut png = picture(1, &[WHITE]).to_png().unwrap();
        let mut header = png[12..29].to_vec();
        header[4..12].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
        let mut sum = flate2::Crc::new();
        sum.update(&header);
        png[12..29].copy_from_slice(&header);
        png[29..33].copy_from_slice(&sum.sum().to_be_bytes());
        assert!(Picture::from_png(&png).is_err());
    }

    #[test]
    fn grey_palette_and_alpha_are_read_too() {
        let png = |color, data: &[u8]| {
            let mut bytes = Vec::new();
            let mut encoder = Encoder::new(&mut bytes, 1, 1);
            encoder.set_color(color);
            encoder.set_depth(BitDepth::Eight);
            if color == ColorType::Indexed {
                encoder.set_palette(vec![9, 8, 7]);
            }
            encoder.write_header().unwrap().write_image_data(data).unwrap();
            bytes
        };
        let read = |color, data: &[u8]| Picture::from_png(&png(color, data)).unwrap().pixels;
        assert_eq!(read(ColorType::Rgba, &[1, 2, 3, 4]), [[1, 2, 3]]);
        assert_eq!(read(ColorType::Grayscale, &[5]), [[5; 3]]);
        assert_eq!(read(ColorType::GrayscaleAlpha, &[6, 1]), [[6; 3]]);
        assert_eq!(read(ColorType::Indexed, &[0]), [[9, 8, 7]]);
    }

    #[test]
    fn equal_pictures_do_not_differ_and_small_steps_are_tolerated() {
        let before = picture(2, &[WHITE, BLACK, WHITE, GREY]);
        let after = picture(2, &[WHITE, BLACK, GREY, WHITE]);
        assert_eq!(difference(&before, &before, 0).share, 0.0);
        assert_eq!(difference(&before, &after, 5).share, 0.0);
        assert_eq!(difference(&before, &after, 4).share, 0.5);
        let shown = difference(&before, &picture(2, &[BLACK, BLACK, WHITE, GREY]), 4);
        assert_eq!((shown.share, shown.picture.pixels), (0.25, vec![[220, 0, 0], [191; 3], [254; 3], [253; 3]]));
    }

    #[test]
    fn what_only_one_of_them_covers_differs() {
        let small = picture(1, &[WHITE]);
        let large = picture(2, &[WHITE; 4]);
        assert_eq!(difference(&small, &large, 0).share, 0.75);
        assert_eq!(difference(&large, &small, 0).share, 0.75);
        let (wide, high) = (picture(2, &[WHITE; 2]), picture(1, &[WHITE; 2]));
        let crossed = difference(&wide, &high, 0);
        assert_eq!((crossed.share, crossed.picture.pixels[3]), (0.5, WHITE));
        let none = Picture { width: 0, height: 0, pixels: Vec::new() };
        assert_eq!((difference(&none, &none, 0).share, difference(&none, &small, 0).share), (0.0, 1.0));
    }

    #[test]
    fn one_dot_makes_a_picture_that_is_not_plain() {
        assert!(picture(2, &[WHITE; 4]).is_plain() && picture(2, &[BLACK; 4]).is_plain());
        assert!(picture(2, &[WHITE, WHITE, [254, 255, 253], WHITE]).is_plain());
        assert!(!picture(2, &[WHITE, WHITE, WHITE, GREY]).is_plain());
    }
}
