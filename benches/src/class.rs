//! What a class costs the repository: every device for itself, and behind one that serves the others.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use diff_core::CancelToken;
use release_format::UtcTime;
use satchel_tests::rig::course::Course;
use satchel_tests::rig::server::{Server, Traffic};
use satchel_tests::rig::world::{Device, World};
use updater_client::{Clock, HttpTransport, SystemClock, Transport, UpdateOptions, UpdaterBuilder};

use crate::Outcome;

/// The argument that asks for this.
pub(crate) const CLASS: &str = "class";

/// How a device of the class gets its updates.
#[derive(Clone, Copy)]
enum Way {
    Direct,
    /// `--from http://MIRROR --only`.
    Mirror,
    /// `--nearby`: the newest from the repository, all else from the mirror.
    Nearby,
}

/// Measures a first install and an update of forty devices, or of so many, each way.
pub(crate) fn measure(devices: Option<&str>) -> Outcome<()> {
    let devices: usize = devices.map_or(Ok(40), str::parse)?;
    let mut course = Course::bulky(1);
    let world = World::at(UtcTime::from_seconds(SystemClock.now().seconds()));
    world.publish("1.0", &course);
    let server = Server::start(world.repository())?;
    let mut classes = Vec::new();
    for way in [Way::Direct, Way::Mirror, Way::Nearby] {
        // The laptop knows the repository by the server that counts.
        let laptop = world.folder().join(name(way));
        updater_client::enroll(&laptop, world.root(), vec![server.url()])?;
        let class: Vec<Device> = (0..devices).map(|_| world.device()).collect();
        classes.push((way, laptop, class));
    }
    println!("| {devices} devices | way | requests | bytes of bodies | bytes in all | seconds |");
    println!("|---|---|---|---|---|---|");
    let (one, took) = run(&server, &[world.device()], Way::Direct, None)?;
    line("first install of one device", Way::Direct, one, took);
    for label in ["1.0", "1.1"] {
        if label == "1.1" {
            course = course.revised(2);
            world.publish(label, &course);
        }
        let what = if label == "1.0" {
            "first install"
        } else {
            "update"
        };
        for (way, laptop, class) in &classes {
            // One that begins anew, since a mirror asks for what is newest once a minute.
            let mirror = match way {
                Way::Direct => None,
                _ => Some(Mirror::start(laptop)?),
            };
            let url = mirror.as_ref().map(|mirror| mirror.url.as_str());
            let (traffic, took) = run(&server, class, *way, url)?;
            line(what, *way, traffic, took);
            for device in class.iter() {
                device.assert_has(&course);
                device.confirm();
            }
        }
    }
    Ok(())
}

fn name(way: Way) -> &'static str {
    match way {
        Way::Direct => "direct",
        Way::Mirror => "behind a mirror",
        Way::Nearby => "beside a mirror",
    }
}

fn line(what: &str, way: Way, traffic: Traffic, took: Duration) {
    println!(
        "| {what} | {} | {} | {} | {} | {:.1} |",
        name(way),
        traffic.requests,
        traffic.bodies,
        traffic.bodies + traffic.heads,
        took.as_secs_f64()
    );
}

/// Updates the devices, eight at a time, and returns what that cost the repository.
fn run(
    server: &Server,
    devices: &[Device],
    way: Way,
    mirror: Option<&str>,
) -> Outcome<(Traffic, Duration)> {
    server.forget();
    let began = Instant::now();
    let at_once = devices.len().div_ceil(8);
    let failed: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = devices
            .chunks(at_once)
            .map(|devices| scope.spawn(move || update_all(devices, server, way, mirror)))
            .collect();
        let ended = threads.into_iter().map(|thread| match thread.join() {
            Ok(Ok(())) => None,
            Ok(Err(failed)) => Some(failed),
            Err(_) => Some("a device has panicked".to_owned()),
        });
        ended.flatten().collect()
    });
    match failed.first() {
        Some(failed) => Err(failed.clone().into()),
        None => Ok((server.traffic(), began.elapsed())),
    }
}

fn update_all(
    devices: &[Device],
    server: &Server,
    way: Way,
    mirror: Option<&str>,
) -> Result<(), String> {
    for device in devices {
        let update = || -> Outcome<()> {
            let builder = builder(device, server, way, mirror)?;
            let (options, cancel) = (UpdateOptions::default(), CancelToken::new());
            builder.build()?.update(device.pack(), &options, &cancel)?;
            Ok(())
        };
        update().map_err(|failed| failed.to_string())?;
    }
    Ok(())
}

fn builder(
    device: &Device,
    server: &Server,
    way: Way,
    mirror: Option<&str>,
) -> Outcome<UpdaterBuilder> {
    let over =
        |url: &str| -> Outcome<Arc<dyn Transport>> { Ok(Arc::new(HttpTransport::new(url)?)) };
    let own = over(&server.url())?;
    let near = mirror.map(over).transpose()?;
    Ok(match (way, near) {
        (Way::Mirror, Some(near)) => device.alone().repository(near),
        (Way::Nearby, Some(near)) => device.alone().repository(own).nearby(vec![near]),
        _ => device.alone().repository(own),
    })
}

/// `satchel mirror`, as a process of its own.
struct Mirror {
    child: Child,
    url: String,
}

impl Mirror {
    fn start(library: &Path) -> Outcome<Mirror> {
        let mut child = Command::new(program()?)
            .arg("mirror")
            .arg(library)
            .args(["--listen", "127.0.0.1:0", "--quiet"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or("the mirror has no stdout")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let url = line.trim().strip_prefix("listening on ").map(str::to_owned);
        Ok(Mirror {
            child,
            url: url.ok_or("the mirror does not listen")?,
        })
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the program `satchel`: the one beside this, unless `SATCHEL` names another.
fn program() -> Outcome<PathBuf> {
    if let Some(program) = env::var_os("SATCHEL") {
        return Ok(program.into());
    }
    let beside = env::current_exe()?.with_file_name("satchel");
    let program = beside.with_extension(env::consts::EXE_EXTENSION);
    if program.is_file() {
        return Ok(program);
    }
    Err(format!(
        "{} is not built: cargo build --release -p satchel",
        program.display()
    )
    .into())
}
