//! Patterns on names: `*` stands for any letters, `?` for one; everything else for itself. All of the name has to fit.
//!
//! The time that a match takes grows with the product of both lengths at most, whatever the pattern.

/// Whether a name fits a pattern.
pub fn fits(pattern: &str, name: &str) -> bool {
    let mut pattern_rest = pattern.chars();
    let mut name_rest = name.chars();
    // Where to go on when what follows the last star does not fit: with one letter more under the star.
    let mut star = None;
    loop {
        let before = name_rest.clone();
        match (pattern_rest.next(), name_rest.next()) {
            (Some('*'), _) => {
                name_rest = before;
                star = Some((pattern_rest.clone(), name_rest.clone()));
            }
            (Some('?'), Some(_)) => {}
            (Some(wanted), Some(found)) if wanted == found => {}
            (None, None) => return true,
            _ => {
                let Some((after, under)) = &mut star else { return false };
                if under.next().is_none() {
                    return false;
                }
                (pattern_rest, name_rest) = (after.clone(), under.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_stand_for_letters() {
        for (pattern, name, wanted) in [
            ("home", "home", true),
            ("home", "home2", false),
            ("*", "", true),
            ("ho*", "home", true),
            ("*me", "home", true),
            ("h*m?", "home", true),
            ("h*m?", "hom", false),
            ("?", "ü", true),
            ("*a*b", "xaxbxab", true),
            ("*a*b", "xaxbxa", false),
            ("", "", true),
            ("", "a", false),
            ("**x", "aax", true),
        ] {
            assert_eq!(fits(pattern, name), wanted, "{pattern} {name}");
        }
        let (pattern, name) = ("*a".repeat(200) + "b", "a".repeat(2000));
        assert!(!fits(&pattern, &name));
    }
}
