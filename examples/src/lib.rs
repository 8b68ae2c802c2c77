//! The programs are in the directories beside this one.
