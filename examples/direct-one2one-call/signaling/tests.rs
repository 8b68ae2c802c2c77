//! Signaling over real WebSockets.
