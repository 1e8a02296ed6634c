//! What a guest's display shows, as a VNC viewer sees it (RFC 6143).

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

/// No authentication.
const SECURITY_NONE: u8 = 1;
const SET_ENCODINGS: u8 = 2;
const UPDATE_REQUEST: u8 = 3;
const UPDATE: u8 = 0;
const PIXEL_BYTES: usize = 4;

/// All pixels at one moment.
#[derive(Clone, PartialEq, Eq)]
pub struct Screen {
    width: usize,
    pixels: Vec<[u8; PIXEL_BYTES]>,
}

impl Screen {
    /// Looks at what the VNC server at `address` shows; `None` if there is none.
    pub fn look(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        Some(Self::read(stream).expect("a VNC server"))
    }

    /// Pixels that are not black.
    pub fn lit(&self) -> usize {
        let black = |pixel: &&[u8; PIXEL_BYTES]| pixel[..3] == [0; 3];
        self.pixels.len() - self.pixels.iter().filter(black).count()
    }

    fn read(stream: TcpStream) -> std::io::Result<Self> {
        let (mut answers, mut stream) = (BufReader::new(stream.try_clone()?), stream);
        let version: [u8; 12] = take(&mut answers)?;
        assert_eq!(&version, b"RFB 003.008\n");
        stream.write_all(&version)?;
        let [kinds] = take(&mut answers)?;
        let mut offered = vec![0; usize::from(kinds)];
        answers.read_exact(&mut offered)?;
        assert_eq!(offered, [SECURITY_NONE], "no password");
        stream.write_all(&[SECURITY_NONE])?;
        assert_eq!(take(&mut answers)?, [0; 4], "let in");
        // Others may look, too.
        stream.write_all(&[1])?;
        let (width, height) = (number(&mut answers)?, number(&mut answers)?);
        let [bits, ..]: [u8; 16] = take(&mut answers)?;
        assert_eq!(usize::from(bits), 8 * PIXEL_BYTES);
        let mut name = vec![0; u32::from_be_bytes(take(&mut answers)?) as usize];
        answers.read_exact(&mut name)?;

        let [wide, high] = [width, height].map(|n| u16::try_from(n).expect("read as such"));
        // Raw pixels only; all of them.
        stream.write_all(&[SET_ENCODINGS, 0, 0, 1, 0, 0, 0, 0])?;
        stream.write_all(&[UPDATE_REQUEST, 0, 0, 0, 0, 0])?;
        stream.write_all(&[wide.to_be_bytes(), high.to_be_bytes()].concat())?;
        let (mut pixels, mut missing) = (vec![[0; PIXEL_BYTES]; width * height], width * height);
        while missing > 0 {
            let [kind, _]: [u8; 2] = take(&mut answers)?;
            assert_eq!(kind, UPDATE);
            for _ in 0..number(&mut answers)? {
                let (left, top) = (number(&mut answers)?, number(&mut answers)?);
                let (across, down) = (number(&mut answers)?, number(&mut answers)?);
                assert_eq!(take(&mut answers)?, [0; 4], "raw");
                for row in top..top + down {
                    for pixel in &mut pixels[row * width + left..][..across] {
                        *pixel = take(&mut answers)?;
                    }
                }
                missing = missing.saturating_sub(across * down);
            }
        }
        Ok(Self { width, pixels })
    }
}

impl std::fmt::Debug for Screen {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let height = self.pixels.len() / self.width.max(1);
        write!(formatter, "{}x{height}, {} lit", self.width, self.lit())
    }
}

fn take<const N: usize>(stream: &mut impl Read) -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn number(stream: &mut impl Read) -> std::io::Result<usize> {
    Ok(usize::from(u16::from_be_bytes(take(stream)?)))
}
