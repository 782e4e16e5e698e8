use super::prose::Prose;

/// Returns a PDF of a few pages of text, written by hand: objects, cross-reference table, trailer.
pub(super) fn pdf() -> Vec<u8> {
    let mut prose = Prose::new("field guide");
    let kids: Vec<String> = (0..PAGES)
        .map(|page| format!("{} 0 R", page_object(page)))
        .collect();
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        format!(
            "<< /Type /Pages /Kids [{}] /Count {PAGES} >>",
            kids.join(" ")
        ),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    for page in 0..PAGES {
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {} 0 R \
             /Resources << /Font << /F1 3 0 R >> >> >>",
            page_object(page) + 1
        ));
        let text = page_text(page, &mut prose);
        objects.push(format!(
            "<< /Length {} >>\nstream\n{text}endstream",
            text.len()
        ));
    }
    assembled(&objects)
}

fn page_text(page: usize, prose: &mut Prose) -> String {
    let mut text = format!(
        "BT /F1 18 Tf 56 780 Td (Field guide, page {}) Tj\n",
        page + 1
    );
    text.push_str("/F1 10 Tf 0 -30 Td 14 TL\n");
    for _ in 0..44 {
        // No sentence has a bracket or a backslash, which a PDF text would escape.
        text.push_str(&format!("({}) Tj T*\n", prose.sentence()));
    }
    text.push_str("ET\n");
    text
}

/// Returns the number of a page's object; its content follows it.
fn page_object(page: usize) -> usize {
    4 + 2 * page
}

fn assembled(objects: &[String]) -> Vec<u8> {
    let mut file = b"%PDF-1.4\n".to_vec();
    let mut offsets = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        offsets.push(file.len());
        file.extend_from_slice(format!("{} 0 obj\n{object}\nendobj\n", index + 1).as_bytes());
    }
    let table = file.len();
    let count = objects.len() + 1;
    file.extend_from_slice(format!("xref\n0 {count}\n0000000000 65535 f \n").as_bytes());
    for offset in offsets {
        file.extend_from_slice(format!("{offset:010} 00000 n \n").as_bytes());
    }
    let trailer = format!("trailer\n<< /Size {count} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n");
    file.extend_from_slice(trailer.as_bytes());
    file
}

const PAGES: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_offset_of_the_table_leads_to_its_object() {
        let file = String::from_utf8(pdf()).unwrap();
        let table: usize = file
            .rsplit("startxref\n")
            .next()
            .unwrap()
            .lines()
            .next()
            .unwrap()
            .parse()
            .unwrap();
        let rows = file[table..]
            .lines()
            .skip(3)
            .take_while(|line| line.ends_with(" n "));
        let mut count = 0;
        for (index, row) in rows.enumerate() {
            let offset: usize = row[..10].parse().unwrap();
            assert!(
                file[offset..].starts_with(&format!("{} 0 obj\n", index + 1)),
                "{row}"
            );
            count += 1;
        }
        assert_eq!(count, 3 + 2 * PAGES);
    }
}
