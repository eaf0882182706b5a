//! libdevmgr from Rust: the manager runs on a thread of its own, and each call here waits for its answer.
//!
//! What is to be done there is a closure, boxed and carried over by `devmgr_call`. Each call sends exactly one answer through
//! a channel: the sender is boxed too, goes through C as `void *`, and the callback takes it back. Callbacks copy what they
//! are shown: the library's memory ends with them.
use std::ffi::{c_char, c_int, c_void, CStr, CString};
use std::sync::mpsc;
use std::time::Duration;

#[allow(non_camel_case_types, non_upper_case_globals, dead_code)]
mod sys {
    include!(concat!(env!("OUT_DIR"), "/devmgr.rs"));
}

#[derive(Debug)]
pub struct Error {
    pub name: String,
    pub message: String,
}

pub struct Container<'a> {
    pub name: &'a str,
    /// a plain init container
    pub init: bool,
    pub limits: Vec<(&'a str, u64)>,
}

#[derive(Default)]
pub struct Pod<'a> {
    pub uid: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
    pub containers: Vec<Container<'a>>,
    pub wait: Duration,
}

pub struct Claim {
    pub container: String,
    pub resource: String,
    pub device: String,
}

pub struct Admission {
    pub verdict: String,
    pub cause: String,
    pub detail: String,
    pub claims: Vec<Claim>,
}

pub struct Mount {
    pub container_path: String,
    pub host_path: String,
    pub read_only: bool,
}

pub struct Device {
    pub container_path: String,
    pub host_path: String,
    pub permissions: String,
}

pub struct Options {
    pub envs: Vec<(String, String)>,
    pub mounts: Vec<Mount>,
    pub devices: Vec<Device>,
}

pub struct Resource {
    pub name: String,
    pub capacity: u64,
    pub allocatable: u64,
    pub held: u64,
    pub plugin: String,
}

type Events = Box<dyn Fn(Resource) + Send>;
type Answer<T> = mpsc::Sender<Result<T, Error>>;
type Run<'a> = Box<dyn FnOnce(*mut sys::devmgr) + 'a>;

/// Open until it is dropped: then what is pending is answered and the last write done.
pub struct Manager {
    m: *mut sys::devmgr,
    events: *mut Events,
}
// devmgr_call is for any thread, and nothing else is done with `m` here.
unsafe impl Send for Manager {}
unsafe impl Sync for Manager {}

unsafe fn text(s: *const c_char) -> String {
    if s.is_null() {
        return String::new();
    }
    CStr::from_ptr(s).to_string_lossy().into_owned()
}

/// C's array of pointers; the first may be NULL when there are none.
unsafe fn rows<'a, T: 'a>(first: *const *const T, n: usize) -> impl Iterator<Item = &'a T> {
    (0..n).map(move |i| &**first.add(i))
}

fn c_string(s: &str) -> CString {
    CString::new(s.replace('\0', "?")).unwrap()
}

fn error(code: c_int, err: *const sys::devmgr_error) -> Error {
    unsafe {
        Error {
            name: text(sys::devmgr_error_name(code)),
            message: if err.is_null() { String::new() } else { text((*err).message.as_ptr()) },
        }
    }
}

fn checked(code: c_int, err: *const sys::devmgr_error) -> Result<(), Error> {
    if code < 0 {
        Err(error(code, err))
    } else {
        Ok(())
    }
}

fn no_error() -> sys::devmgr_error {
    sys::devmgr_error { code: 0, message: [0; 1020] }
}

// ---- on the manager's thread: what C calls -----------------------------------------------------------------------------

unsafe extern "C" fn on_run(m: *mut sys::devmgr, arg: *mut c_void) {
    let run = *Box::from_raw(arg as *mut Run);
    run(m)
}

unsafe fn answer<T>(arg: *mut c_void, value: Result<T, Error>) {
    let sender = *Box::from_raw(arg as *mut Answer<T>);
    let _ = sender.send(value); // whoever asked waits
}

unsafe extern "C" fn on_admitted(arg: *mut c_void, result: *const sys::devmgr_admission) {
    let r = &*result;
    let claim =
        |c: &sys::devmgr_claim| Claim { container: text(c.container), resource: text(c.resource), device: text(c.device) };
    let admission = Admission {
        verdict: text(sys::devmgr_verdict_name(r.verdict)),
        cause: text(sys::devmgr_cause_name(r.cause)),
        detail: text(r.detail),
        claims: rows(r.claims, r.n_claims).map(claim).collect(),
    };
    answer(arg, Ok(admission));
}

unsafe fn options(o: &sys::devmgr_options) -> Options {
    let mount = |m: &sys::devmgr_mount| Mount {
        container_path: text(m.container_path),
        host_path: text(m.host_path),
        read_only: m.read_only != 0,
    };
    let device = |d: &sys::devmgr_device_node| Device {
        container_path: text(d.container_path),
        host_path: text(d.host_path),
        permissions: text(d.permissions),
    };
    Options {
        envs: rows(o.envs, o.n_envs).map(|e| (text(e.name), text(e.value))).collect(),
        mounts: rows(o.mounts, o.n_mounts).map(mount).collect(),
        devices: rows(o.devices, o.n_devices).map(device).collect(),
    }
}

unsafe extern "C" fn on_options(
    arg: *mut c_void,
    status: c_int,
    o: *const sys::devmgr_options,
    err: *const sys::devmgr_error,
) {
    answer(arg, checked(status, err).map(|()| options(&*o)));
}

unsafe extern "C" fn on_done(
    arg: *mut c_void,
    status: c_int,
    uids: *const *const c_char,
    n: usize,
    err: *const sys::devmgr_error,
) {
    let list: Vec<String> = (0..n).map(|i| text(*uids.add(i))).collect();
    answer(arg, checked(status, err).map(|()| list));
}

unsafe fn resource(r: &sys::devmgr_resource) -> Resource {
    Resource {
        name: text(r.name),
        capacity: r.capacity,
        allocatable: r.allocatable,
        held: r.held,
        plugin: text(sys::devmgr_plugin_name(r.plugin)),
    }
}

unsafe extern "C" fn on_resource(arg: *mut c_void, r: *const sys::devmgr_resource) -> c_int {
    (*(arg as *mut Vec<Resource>)).push(resource(&*r));
    0
}

unsafe extern "C" fn on_event(arg: *mut c_void, ev: *const sys::devmgr_event) {
    if !(*ev).changed.is_null() {
        (*(arg as *mut Events))(resource(&*(*ev).changed));
    }
}

unsafe extern "C" fn on_closed(arg: *mut c_void) {
    answer(arg, Ok(()));
}

// ---- on any thread -----------------------------------------------------------------------------------------------------

pub fn version() -> String {
    unsafe { text(sys::devmgr_version()) }
}

unsafe fn fill(pod: *mut sys::devmgr_pod, p: &Pod) -> Result<(), Error> {
    for c in &p.containers {
        let name = c_string(c.name);
        let kind = if c.init { sys::DEVMGR_PLAIN_INIT } else { sys::DEVMGR_APP };
        checked(sys::devmgr_pod_container(pod, name.as_ptr(), kind as c_int), std::ptr::null())?;
        for (resource, count) in &c.limits {
            let resource = c_string(resource);
            checked(sys::devmgr_pod_limit(pod, name.as_ptr(), resource.as_ptr(), *count), std::ptr::null())?;
        }
    }
    checked(sys::devmgr_pod_wait(pod, p.wait.as_millis() as u64), std::ptr::null())
}

impl Manager {
    /// `changed` is told each resource that changes, on the manager's thread: a function that waits for the manager there
    /// waits for ever.
    pub fn open(settings: &[(&str, &str)], changed: impl Fn(Resource) + Send + 'static) -> Result<Manager, Error> {
        let mut err = no_error();
        let mut manager = Manager { m: std::ptr::null_mut(), events: Box::into_raw(Box::new(Box::new(changed) as Events)) };
        unsafe {
            let config = sys::devmgr_config_new();
            let mut rc = 0;
            for (key, value) in settings {
                let (key, value) = (c_string(key), c_string(value));
                if rc == 0 {
                    rc = sys::devmgr_config_set(config, key.as_ptr(), value.as_ptr(), &mut err);
                }
            }
            if rc == 0 {
                let no_loop = std::ptr::null_mut();
                let events = manager.events as *mut c_void;
                rc = sys::devmgr_open(no_loop, config, Some(on_event), events, &mut manager.m, &mut err);
            }
            sys::devmgr_config_free(config);
            if rc < 0 {
                manager.m = std::ptr::null_mut();
            }
            checked(rc, &err).map(|()| manager)
        }
    }

    /// Runs `start` on the manager's thread, with what its callback is to be given, and waits for the one answer. When
    /// `start` fails there will be no callback.
    fn ask<T: Send>(&self, start: impl FnOnce(*mut sys::devmgr, *mut c_void) -> Result<(), Error>) -> Result<T, Error> {
        let (sender, receiver) = mpsc::channel::<Result<T, Error>>();
        let run: Run = Box::new(move |m| {
            let arg = Box::into_raw(Box::new(sender)) as *mut c_void;
            if let Err(e) = start(m, arg) {
                unsafe { answer::<T>(arg, Err(e)) }
            }
        });
        let run = Box::into_raw(Box::new(run));
        let rc = unsafe { sys::devmgr_call(self.m, Some(on_run), run as *mut c_void) };
        if rc < 0 {
            drop(unsafe { Box::from_raw(run) });
            return Err(error(rc, std::ptr::null()));
        }
        receiver.recv().expect("a callback comes exactly once")
    }

    pub fn admit(&self, p: &Pod) -> Result<Admission, Error> {
        let (uid, namespace, name) = (c_string(p.uid), c_string(p.namespace), c_string(p.name));
        unsafe {
            let pod = sys::devmgr_pod_new(uid.as_ptr(), namespace.as_ptr(), name.as_ptr());
            if pod.is_null() {
                return Err(error(sys::DEVMGR_EINVALID, std::ptr::null()));
            }
            let result = fill(pod, p).and_then(|()| {
                self.ask(|m, arg| {
                    let mut err = no_error();
                    checked(sys::devmgr_admit(m, pod, Some(on_admitted), arg, &mut err), &err)
                })
            });
            sys::devmgr_pod_free(pod);
            result
        }
    }

    pub fn options(&self, uid: &str, container: &str) -> Result<Options, Error> {
        let (uid, container) = (c_string(uid), c_string(container));
        self.ask(|m, arg| unsafe {
            let rc = sys::devmgr_container_options(m, uid.as_ptr(), container.as_ptr(), 0, Some(on_options), arg);
            checked(rc, std::ptr::null())
        })
    }

    pub fn release(&self, uid: &str) -> Result<Vec<String>, Error> {
        let uid = c_string(uid);
        self.ask(|m, arg| unsafe { checked(sys::devmgr_release(m, uid.as_ptr(), Some(on_done), arg), std::ptr::null()) })
    }

    pub fn resources(&self) -> Result<Vec<Resource>, Error> {
        self.ask(|m, arg| unsafe {
            let mut list: Vec<Resource> = Vec::new();
            sys::devmgr_each_resource(m, Some(on_resource), &mut list as *mut _ as *mut c_void);
            answer(arg, Ok(list));
            Ok(())
        })
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        if !self.m.is_null() {
            let _ = self.ask::<()>(|m, arg| unsafe {
                sys::devmgr_close(m, Some(on_closed), arg);
                Ok(())
            });
        }
        drop(unsafe { Box::from_raw(self.events) });
    }
}
