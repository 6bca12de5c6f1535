//! The license: asked for before anything opens, and looked after while the proxy runs.

use std::path::PathBuf;
use std::time::Duration;

use daemon::failure::Failure;
use daemon::service_manager;
use license::{Day, License, Notice, ProxyId, Refusal, Status, TrustedKey, Watch, file};
use relay::Either;
use relay::alarm::Alarm;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tracing::{error, warn};

use crate::options::Options;

/// A license that was good when the daemon was started. There is no proxy without one.
pub struct Licensed {
    place: Place,
    watch: Watch,
}

impl Licensed {
    /// Reads the license and checks it for this installation, today.
    ///
    /// # Errors
    /// The message that operators and scripts know, with the reason.
    pub fn check(options: &Options) -> Result<Self, Failure> {
        Self::check_on(options, Day::today())
    }

    fn check_on(options: &Options, today: Day) -> Result<Self, Failure> {
        let place = Place::of(options)?;
        let license = place.read(today).map_err(|refusal| place.failure(&refusal))?;
        Ok(Self { place, watch: Watch::new(license, today) })
    }

    /// How things stand with it.
    pub fn status(&self) -> &Status {
        self.watch.status()
    }
}

/// Where the license is, and for whom it has to be.
#[derive(Clone)]
struct Place {
    path: PathBuf,
    proxy_id: ProxyId,
    trusted: TrustedKey,
}

impl Place {
    fn of(options: &Options) -> Result<Self, Failure> {
        let trusted = TrustedKey::built_in().map_err(Failure::operator)?;
        Ok(Self { path: options.license.clone(), proxy_id: options.proxy_id()?, trusted })
    }

    fn read(&self, today: Day) -> Result<License, Refusal> {
        let license = file::read(&self.path, &self.trusted)?;
        license.check(&self.proxy_id, today)?;
        Ok(license)
    }

    fn failure(&self, refusal: &Refusal) -> Failure {
        Failure::Verbatim(format!(
            "ERROR: invalid license found in '{}'! Please obtain a valid OS4X Proxy license for your OS4X Proxy ID:\n  \
             {}\nReason: {refusal}",
            self.path.display(),
            self.proxy_id
        ))
    }
}

/// The task that looks after the license. It ends when this is dropped.
pub(crate) struct LicenseWatch {
    orders: mpsc::Sender<Order>,
    status: watch::Receiver<Status>,
    task: AbortHandle,
}

/// To look at once, at this place from now on, and to say when that is done.
struct Order {
    place: Place,
    done: oneshot::Sender<()>,
}

impl LicenseWatch {
    /// Begins to look after the license of a proxy that starts.
    pub(crate) fn start(licensed: Licensed) -> Self {
        Self::start_by(licensed, Day::today)
    }

    fn start_by(licensed: Licensed, today: impl Fn() -> Day + Send + 'static) -> Self {
        let (orders, received) = mpsc::channel(1);
        let (published, status) = watch::channel(licensed.status().clone());
        let keeper = Keeper { licensed, published };
        Self { orders, status, task: tokio::spawn(keeper.run(received, today)).abort_handle() }
    }

    /// How things stand. A status page would begin here.
    pub(crate) fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Has the license read again, at the place that these options name, and waits until that is done.
    ///
    /// # Errors
    /// It cannot be told which installation this is.
    pub(crate) async fn reload(&self, options: &Options) -> Result<(), Failure> {
        let (done, is_done) = oneshot::channel();
        // Without the task there is nobody to tell; the process is about to end.
        let _ = self.orders.send(Order { place: Place::of(options)?, done }).await;
        let _ = is_done.await;
        Ok(())
    }
}

impl Drop for LicenseWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The owner of the [`Watch`].
struct Keeper {
    licensed: Licensed,
    published: watch::Sender<Status>,
}

impl Keeper {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>, today: impl Fn() -> Day) {
        service_manager::status(&self.licensed.status().to_string());
        let mut alarm = Alarm::default();
        loop {
            self.look(today());
            match alarm.within(Instant::now() + LOOK_EVERY, orders.recv()).await {
                Either::Left(Some(Order { place, done })) => {
                    self.licensed.place = place;
                    self.licensed.watch.on_change();
                    self.look(today());
                    // Whoever asked may have gone.
                    let _ = done.send(());
                }
                Either::Left(None) => return,
                Either::Right(()) => {}
            }
        }
    }

    fn look(&mut self, today: Day) {
        let Licensed { place, watch } = &mut self.licensed;
        let path = place.path.display();
        match watch.on_look(today, || place.read(today)) {
            Some(Notice::Warning(text)) => warn!(event = "license", "{path}: {text}"),
            Some(Notice::Error(text)) => error!(event = "license", "{path}: {text}"),
            None => {}
        }
        if *self.published.borrow() != *watch.status() {
            service_manager::status(&watch.status().to_string());
            self.published.send_replace(watch.status().clone());
        }
    }
}

/// How often it is asked whether a new day has begun. By the hour rather than by the day: the clock of timers stands
/// still while a machine is suspended, and that of the calendar can be set.
const LOOK_EVERY: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use issuer::{SigningKey, grant};
    use testkit::Site;
    use tokio::time::advance;

    use super::*;

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    fn options(site: &Site) -> Options {
        let license = site.path("lic");
        let key = site.path("key");
        let line = ["-c", "/dev/null", "-l", license.to_str().unwrap(), "-k", key.to_str().unwrap()];
        Options::read(line.map(OsString::from)).unwrap()
    }

    fn put(path: &Path, options: &Options, issued: &str, days: i64) {
        let license = grant(options.proxy_id().unwrap(), "ACME".parse().unwrap(), day(issued), days);
        std::fs::write(path, SigningKey::development().unwrap().sign(&license).unwrap()).unwrap();
    }

    /// The license in the time that tokio's clock says, from this day on.
    struct Calendar(Arc<AtomicI64>);

    impl Calendar {
        async fn next_day(&self, watch: &LicenseWatch) -> Status {
            self.0.fetch_add(1, Ordering::Relaxed);
            let mut status = watch.status.clone();
            status.mark_unchanged();
            advance(LOOK_EVERY).await;
            status.changed().await.unwrap();
            status.borrow().clone()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_new_day_is_judged_and_traffic_is_never_asked() {
        let site = Site::new();
        let options = options(&site);
        put(&options.license, &options, "2026-11-24", 2);
        let licensed = Licensed::check_on(&options, day("2026-11-24")).unwrap();
        let passed = Arc::new(AtomicI64::new(0));
        let calendar = Calendar(passed.clone());
        let watch =
            LicenseWatch::start_by(licensed, move || day("2026-11-24").plus(passed.load(Ordering::Relaxed)));
        assert_eq!(watch.status().to_string(), "licensed to ACME until 2026-11-26 (2 days left)");
        assert!(calendar.next_day(&watch).await.to_string().ends_with("(1 day left)"));
        assert!(calendar.next_day(&watch).await.to_string().ends_with("(the last day)"));
        let status = calendar.next_day(&watch).await;
        let over = Refusal::Expired { expires: day("2026-11-26"), today: day("2026-11-27") };
        assert_eq!(status.refusal, Some(over.clone()));
        // At the next start it would be refused, and a new one is found by itself.
        let refused = Licensed::check_on(&options, day("2026-11-27")).err().unwrap().message("os4x_proxy");
        assert!(refused.ends_with(&format!("\nReason: {over}")), "{refused}");
        put(&options.license, &options, "2026-11-27", 400);
        let status = calendar.next_day(&watch).await;
        assert_eq!((status.refusal, status.license.expires), (None, day("2028-01-01")));
        // Or at once, by a reload.
        put(&options.license, &options, "2026-11-27", 401);
        watch.reload(&options).await.unwrap();
        assert_eq!(watch.status().license.expires, day("2028-01-02"));
    }
}
