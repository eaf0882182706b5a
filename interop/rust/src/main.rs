//! devmgr-interop ROOT RESOURCE: libdevmgr in a Rust program. One JSON object a line, for interop/tests/bindings.py, which
//! judges the same lines of ../cgo.
mod devmgr;
use devmgr::{Admission, Container, Error, Manager, Options, Pod};
use std::sync::mpsc;
use std::time::Duration;

enum Value {
    Text(String),
    Number(u64),
    List(Vec<String>),
}
use Value::{List, Number, Text};

fn quote(s: &str) -> String {
    let escape = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c < ' ' => format!("\\u{:04x}", c as u32),
        c => c.to_string(),
    };
    format!("\"{}\"", s.chars().map(escape).collect::<String>())
}

fn tell(step: &str, fields: Vec<(&str, Value)>) {
    let mut parts = vec![format!("\"step\":{}", quote(step))];
    for (key, value) in fields {
        let value = match value {
            Text(s) => quote(&s),
            Number(n) => n.to_string(),
            List(list) => format!("[{}]", list.iter().map(|s| quote(s)).collect::<Vec<_>>().join(",")),
        };
        parts.push(format!("{}:{value}", quote(key)));
    }
    println!("{{{}}}", parts.join(","));
}

fn refusal(result: Result<Manager, Error>) -> Vec<(&'static str, Value)> {
    let e = result.err().expect("this cannot be opened");
    vec![("name", Text(e.name)), ("message", Text(e.message))]
}

fn admission(a: Admission) -> Vec<(&'static str, Value)> {
    let claims = a.claims.iter().map(|c| format!("{} {} {}", c.container, c.resource, c.device)).collect();
    vec![("verdict", Text(a.verdict)), ("cause", Text(a.cause)), ("detail", Text(a.detail)), ("claims", List(claims))]
}

fn options(o: Options) -> Vec<(&'static str, Value)> {
    let envs = o.envs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let devices = o.devices.iter().map(|d| format!("{}:{}:{}", d.host_path, d.container_path, d.permissions)).collect();
    let mounts = o.mounts.iter().map(|m| format!("{}:{}:{}", m.host_path, m.container_path, m.read_only)).collect();
    vec![("envs", List(envs)), ("devices", List(devices)), ("mounts", List(mounts))]
}

fn main() -> Result<(), Error> {
    let args: Vec<String> = std::env::args().collect();
    let (root, resource) = (args[1].as_str(), args[2].as_str());
    let (sender, changes) = mpsc::channel();
    let wanted = resource.to_string();
    let manager = Manager::open(&[("root", root)], move |r| {
        if r.name == wanted {
            let _ = sender.send(r);
        }
    })?;
    tell("open", vec![("version", Text(devmgr::version()))]);
    tell("again", refusal(Manager::open(&[("root", root)], |_| ())));
    tell("nonsense", refusal(Manager::open(&[("nonsense", "1")], |_| ())));

    let mut pod = Pod {
        uid: "uid-1",
        namespace: "default",
        name: "train",
        containers: vec![
            Container { name: "prepare", init: true, limits: vec![(resource, 1)] },
            Container { name: "main", init: false, limits: vec![(resource, 2)] },
        ],
        ..Pod::default()
    };
    tell("early", admission(manager.admit(&pod)?));
    let r = changes.iter().find(|r| r.allocatable > 0).expect("an event with devices");
    tell(
        "event",
        vec![
            ("resource", Text(r.name)),
            ("capacity", Number(r.capacity)),
            ("allocatable", Number(r.allocatable)),
            ("plugin", Text(r.plugin)),
        ],
    );
    pod.wait = Duration::from_secs(20);
    tell("admit", admission(manager.admit(&pod)?));
    tell("options", options(manager.options("uid-1", "main")?));
    for r in manager.resources()? {
        tell("resource", vec![("resource", Text(r.name)), ("held", Number(r.held))]);
    }
    tell("release", vec![("uids", List(manager.release("uid-1")?))]);
    drop(manager);
    tell("closed", vec![]);
    Ok(())
}
