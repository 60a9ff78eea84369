//! Asking a program to end.

use tokio::sync::watch;

/// The asking side. A program that is told nothing runs on.
#[derive(Debug)]
pub struct Bell {
    ring: watch::Sender<bool>,
}

/// The listening side; may be cloned into every task of a program.
#[derive(Clone, Debug)]
pub struct Quit {
    rung: watch::Receiver<bool>,
}

/// A bell and whoever listens to it.
pub fn bell() -> (Bell, Quit) {
    let (ring, rung) = watch::channel(false);
    (Bell { ring }, Quit { rung })
}

impl Bell {
    /// Asks the program to end.
    pub fn ring(&self) {
        self.ring.send_replace(true);
    }
}

impl Quit {
    /// Waits until the program is asked to end.
    pub async fn asked(&self) {
        let mut rung = self.rung.clone();
        // An error means that the asking side is gone, which asks as well.
        let _ = rung.wait_for(|asked| *asked).await;
    }

    /// Sleeps; false if the program was asked to end meanwhile.
    pub async fn sleep(&self, time: std::time::Duration) -> bool {
        tokio::select! {
            () = self.asked() => false,
            () = tokio::time::sleep(time) => true,
        }
    }
}
