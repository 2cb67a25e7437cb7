//! Images that are cut off, damaged, or ask for what is not given.
