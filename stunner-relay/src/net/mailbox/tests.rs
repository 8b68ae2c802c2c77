//! A mailbox alone: order, room, who is woken, and what it costs.

use std::{
    cell::Cell,
    ops::Range,
    pin::pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Wake},
};

use tokio::task::LocalSet;

use super::*;

const FROM: ([u8; 4], u16) = ([192, 0, 2, 1], 50_000);
const TO: ([u8; 4], u16) = ([192, 0, 2, 1], 60_000);

fn letter(data: Range<usize>) -> Letter {
    let marks = Marks { traffic_class: 0xB8, ..Marks::default() };
    Letter { from: FROM.into(), to: TO.into(), marks, data: Part::at(data) }
}

/// What is there now, if there is something; else who waits is remembered.
fn collected(mailbox: &Mailbox, mail: &mut Mail, waker: &Waker) -> bool {
    // Where something is there at once, it waits for one turn.
    let mut collect = pin!(mailbox.collect(mail));
    (0..2).any(|_| collect.as_mut().poll(&mut Context::from_waker(waker)).is_ready())
}

fn collect(mailbox: &Mailbox) -> Mail {
    let mut mail = Mail::default();
    collected(mailbox, &mut mail, Waker::noop());
    mail
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn letters_of_several_posts_are_collected_in_order_with_their_data() {
    let mailbox = Mailbox::default();

    mailbox.post(&[letter(7..9), letter(0..5)], &b"hello, you"[..]);
    mailbox.post(&[letter(3..3), letter(0..3)], &b"and me"[..]);

    let Mail { letters, bytes } = collect(&mailbox);
    let bytes = &bytes[..];
    let data: Vec<&[u8]> = letters.iter().map(|letter| bytes.part(&letter.data)).collect();
    assert_eq!(data, [&b"yo"[..], b"hello", b"", b"and"]);
    assert!(letters.iter().all(|letter| (letter.from, letter.to) == (FROM.into(), TO.into())));
    assert!(letters.iter().all(|letter| letter.marks.traffic_class == 0xB8));
    assert_eq!(collect(&mailbox).letters.len(), 0);
}

#[test]
fn who_waits_is_woken_for_the_first_letter_and_for_no_other() {
    let (mailbox, woken) = (Mailbox::default(), Arc::new(Woken::default()));
    let waker = Waker::from(woken.clone());
    assert!(!collected(&mailbox, &mut Mail::default(), &waker));

    for _ in 0..3 {
        mailbox.post(&[letter(0..1)], &b"x"[..]);
    }

    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
}

#[test]
fn a_mailbox_that_is_full_of_packets_refuses_the_rest_until_it_is_emptied() {
    let mailbox = Mailbox::default();
    let post = || mailbox.post(&[letter(0..1)], &b"x"[..]);

    assert_eq!((0..MAX_PACKETS).map(|_| post()).sum::<usize>(), 0);
    assert_eq!(post(), 1);

    assert_eq!(collect(&mailbox).letters.len(), MAX_PACKETS);
    assert_eq!(post(), 0);
}

#[test]
fn a_flood_leaves_some_room_for_others() {
    let mailbox = Mailbox::default();
    let flood = vec![letter(0..1); 2 * MAX_PACKETS];

    let refused: usize = (0..5).map(|_| mailbox.post(&flood, &b"x"[..])).sum();

    assert_eq!(refused, 9 * MAX_PACKETS + MAX_PACKETS / 32);
    assert_eq!(mailbox.post(&flood[..32], &b"x"[..]), 0);
}

#[test]
fn a_mailbox_that_is_full_of_bytes_still_takes_what_fits() {
    let mailbox = Mailbox::default();
    let buffer = vec![7; MAX_BYTES / 2];

    let refused = mailbox.post(&[letter(0..MAX_BYTES / 2 - 1), letter(0..2), letter(0..1)], &buffer[..]);

    assert_eq!(refused, 1);
    assert_eq!(collect(&mailbox).bytes.len(), MAX_BYTES / 2);
}

#[test]
fn letters_that_go_the_same_way_again_and_again_allocate_nothing() {
    let (mailbox, mut mail) = (Mailbox::default(), Mail::default());
    let letters = vec![letter(0..1_200); 32];
    let mut once = || {
        mailbox.post(&letters, &[7; 1_200][..]);
        assert!(collected(&mailbox, &mut mail, Waker::noop()));
    };
    // Both halves of the exchange grow.
    once();
    once();

    let allocations = allocation_counter::measure(|| (0..100).for_each(|_| once()));

    assert_eq!(allocations.count_total, 0);
}

#[tokio::test(flavor = "current_thread")]
async fn who_always_finds_something_lets_others_have_their_turn() {
    let mailbox = Rc::new(Mailbox::default());
    let (full, others) = (mailbox.clone(), Rc::new(Cell::new(0)));
    let seen = others.clone();
    let local = LocalSet::new();
    mailbox.post(&[letter(0..1)], &b"x"[..]);
    local.spawn_local(async move {
        loop {
            tokio::task::yield_now().await;
            others.set(others.get() + 1);
        }
    });

    local
        .run_until(async move {
            let mut mail = Mail::default();
            for _ in 0..100 {
                full.collect(&mut mail).await;
                full.post(&[letter(0..1)], &b"x"[..]);
            }
        })
        .await;

    assert!(seen.get() >= 98, "{}", seen.get());
}
