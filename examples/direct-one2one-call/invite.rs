//! How a phone finds the page: an address that it can reach, as text and as a QR code.

use std::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
};

use qrcode::{
    QrCode,
    render::{svg, unicode::Dense1x2},
};
use serde::Deserialize;
use warp::{
    Filter, Reply,
    filters::BoxedFilter,
    http::{StatusCode, header},
};

use crate::ice;

/// Where the page is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) tls: bool,
    /// What the server is bound to.
    pub(crate) bound: SocketAddr,
    /// What the machine is called from outside, where somebody said it.
    pub(crate) public: Option<String>,
}

/// What a link is to do when it is opened.
#[derive(Debug, Deserialize)]
struct Wish {
    /// Whom to call.
    call: Option<String>,
}

impl Place {
    /// The address of the page for other machines of the network; `None` when only this one reaches it.
    pub(crate) fn url(&self) -> Option<String> {
        let port = self.bound.port();
        let scheme = if self.tls { "https" } else { "http" };
        let reachable = if self.bound.ip().is_unspecified() { lan() } else { Some(self.bound.ip()) };
        let reachable = reachable.filter(|ip| !ip.is_loopback());
        let host = match &self.public {
            Some(name) if name.contains(':') => Some(format!("[{name}]:{port}")),
            Some(name) => Some(format!("{name}:{port}")),
            None => reachable.map(|ip| SocketAddr::new(ip, port).to_string()),
        };
        host.map(|host| format!("{scheme}://{host}/"))
    }

    /// The same for a page that was reached by this `Host`, which is a good one unless it means this machine only.
    fn url_from(&self, host: &str, forwarded: Option<&str>) -> Option<String> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        if host.is_empty() || host.len() > 260 || !host.bytes().all(good) {
            return None;
        }
        let name = ice::host_name(host)?;
        let here = name.eq_ignore_ascii_case("localhost")
            || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified());
        let tls = self.tls || forwarded == Some("https");
        if here { self.url() } else { Some(format!("http{}://{host}/", if tls { "s" } else { "" })) }
    }
}

/// `GET /invite` is a link to this page for another device, `GET /invite.svg` its QR code. `?call=NAME` makes it a link
/// that calls.
pub(crate) fn routes(place: Place) -> BoxedFilter<(Box<dyn Reply>,)> {
    let asked = warp::get()
        .and(warp::header::<String>("host"))
        .and(warp::header::optional::<String>("x-forwarded-proto"))
        .and(warp::query::<Wish>())
        .map(move |host: String, forwarded: Option<String>, wish: Wish| {
            place.url_from(&host, forwarded.as_deref()).map(|url| link(url, wish.call.as_deref()))
        });
    let text = warp::path!("invite").and(asked.clone()).map(|url: Option<String>| match url {
        Some(url) => sent("text/plain; charset=utf-8", url),
        None => Box::new(StatusCode::NOT_FOUND),
    });
    let picture = warp::path!("invite.svg").and(asked).map(|url: Option<String>| match url.and_then(svg) {
        Some(picture) => sent("image/svg+xml", picture),
        None => Box::new(StatusCode::NOT_FOUND),
    });
    text.or(picture).unify().boxed()
}

fn sent(kind: &'static str, text: String) -> Box<dyn Reply> {
    let reply = warp::reply::with_header(text, header::CONTENT_TYPE, kind);
    let reply = warp::reply::with_header(reply, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    Box::new(warp::reply::with_header(reply, header::CACHE_CONTROL, "no-store"))
}

fn link(mut url: String, call: Option<&str>) -> String {
    let Some(name) = call else { return url };
    url.push_str("?call=");
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            // Strings take whatever is written.
            let _ = write!(url, "%{byte:02X}");
        }
    }
    url
}

/// A QR code as a picture; `None` for what is too long for one.
fn svg(text: String) -> Option<String> {
    let code = QrCode::new(text).ok()?;
    Some(code.render::<svg::Color<'_>>().min_dimensions(240, 240).build())
}

/// A QR code for a terminal, black on white whatever its colors are.
pub(crate) fn terminal(text: &str) -> Option<String> {
    let picture = QrCode::new(text).ok()?.render::<Dense1x2>().build();
    Some(picture.lines().map(|line| format!("    \x1b[30;107m{line}\x1b[0m\n")).collect())
}

/// The address by which this machine reaches others, and they it.
fn lan() -> Option<IpAddr> {
    // Nothing is sent: the system only chooses a source for what might be.
    let chosen = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    });
    let chosen = chosen.ok().map(|address| address.ip());
    let others = ice::own_addresses().into_iter().filter(|ip| !ice::is_link_local(ip));
    chosen.into_iter().chain(others).find(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

/// Whether this program runs in a container, whose own addresses mean nothing outside.
pub(crate) fn in_container() -> bool {
    ["/.dockerenv", "/run/.containerenv"].iter().any(|file| std::path::Path::new(file).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(bound: &str, public: Option<&str>) -> Place {
        Place { tls: true, bound: bound.parse().expect("an address"), public: public.map(str::to_owned) }
    }

    #[test]
    fn a_page_on_loopback_is_for_this_machine_alone() {
        assert_eq!(place("127.0.0.1:8443", None).url(), None);
        assert_eq!(place("127.0.0.1:8443", None).url_from("localhost:8443", None), None);
    }

    #[test]
    fn a_public_name_goes_before_what_the_machine_thinks_it_is() {
        let url = |public| place("0.0.0.0:8443", Some(public)).url_from("localhost:8443", None);
        assert_eq!(url("call.example").as_deref(), Some("https://call.example:8443/"));
        assert_eq!(url("2001:db8::1").as_deref(), Some("https://[2001:db8::1]:8443/"));
    }

    #[test]
    fn what_the_page_was_reached_by_is_handed_on() {
        let place = Place { tls: false, ..place("127.0.0.1:80", None) };
        assert_eq!(place.url_from("192.0.2.7:8443", None).as_deref(), Some("http://192.0.2.7:8443/"));
        assert_eq!(place.url_from("call.example", Some("https")).as_deref(), Some("https://call.example/"));
        for bad in ["", "a b", "x/?y", "<script>", &"a".repeat(261)] {
            assert_eq!(place.url_from(bad, None), None, "{bad}");
        }
    }

    #[test]
    fn names_in_links_are_escaped() {
        let url = link("https://192.0.2.7/".to_owned(), Some("ä&b c"));
        assert_eq!(url, "https://192.0.2.7/?call=%C3%A4%26b%20c");
    }

    #[test]
    fn the_terminal_shows_what_a_camera_reads() {
        let text = "https://192.0.2.7:8443/";
        let picture = terminal(text).expect("a code");
        let rows: Vec<Vec<char>> = picture
            .lines()
            .map(|line| {
                let line = line.trim_start().trim_start_matches("\x1b[30;107m").trim_end_matches("\x1b[0m");
                line.chars().collect()
            })
            .collect();
        let dark = |x: usize, y: usize| match rows[y / 2][x] {
            '█' => true,
            '▀' => y.is_multiple_of(2),
            '▄' => !y.is_multiple_of(2),
            _ => false,
        };
        let (width, height) = (rows[0].len(), rows.len() * 2);

        let mut seen = rqrr::PreparedImage::prepare_from_greyscale(width * 4, height * 4, |x, y| {
            if dark(x / 4, y / 4) { 0 } else { 255 }
        });

        let (_, read) = seen.detect_grids()[0].decode().expect("a readable code");
        assert_eq!(read, text);
    }
}
