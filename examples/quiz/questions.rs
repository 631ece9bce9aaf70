//! What is asked.

/// A question with four choices, one of which is right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Question {
    /// What is asked.
    pub text: String,
    /// What there is to choose from.
    pub choices: Vec<String>,
    /// Which of them is right.
    pub right: usize,
}

/// How many there are.
pub(crate) const COUNT: usize = DECK.len();

/// The first `count` questions, at least one.
pub(crate) fn deck(count: usize) -> Vec<Question> {
    let question = |(text, choices, right): &(&str, [&str; 4], usize)| Question {
        text: (*text).to_owned(),
        choices: choices.map(str::to_owned).to_vec(),
        right: *right,
    };
    DECK.iter().take(count.clamp(1, COUNT)).map(question).collect()
}

const DECK: [(&str, [&str; 4], usize); 10] = [
    ("Which planet has the shortest day?", ["Mars", "Jupiter", "Mercury", "Earth"], 1),
    (
        "What did the first web page, of 1991, tell about?",
        ["The Web itself", "The weather", "A coffee pot", "A band"],
        0,
    ),
    ("How many hearts has an octopus?", ["One", "Two", "Three", "Eight"], 2),
    (
        "Which of these seas has no coast?",
        ["The Dead Sea", "The Coral Sea", "The Black Sea", "The Sargasso Sea"],
        3,
    ),
    (
        "What is a group of flamingos called in English?",
        ["A flamboyance", "A parliament", "A murder", "A blush"],
        0,
    ),
    ("Which metal is liquid at room temperature?", ["Lead", "Mercury", "Tin", "Zinc"], 1),
    ("In which year did people first walk on the Moon?", ["1959", "1965", "1972", "1969"], 3),
    ("Which language has the most native speakers?", ["English", "Spanish", "Mandarin", "Hindi"], 2),
    ("How many bits make a byte?", ["Four", "Eight", "Ten", "Sixteen"], 1),
    ("What does a hygrometer measure?", ["Humidity", "Pressure", "Height", "Speed"], 0),
];
