// Java Lucene as scripts/bench-retrieval and scripts/eval-peers measure it: documents by CJKAnalyzer (pairs of Chinese
// characters, other words) or EnglishAnalyzer, BM25, questions as OR of their distinct terms, all on one thread.
//
//   JavaLucene index FOLDER DOCUMENTS.jsonl [merge]
//   JavaLucene search FOLDER QUERIES.tsv TOP PASSES
//   JavaLucene run cjk|english FOLDER DOCUMENTS.jsonl QUERIES.tsv OUT     (titles before texts; TREC run lines)
//
// Prints one line of JSON but for `run`; times are CPU of the thread, of the last pass.
import java.io.BufferedReader;
import java.io.PrintWriter;
import java.io.StringReader;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import org.apache.lucene.analysis.Analyzer;
import org.apache.lucene.analysis.TokenStream;
import org.apache.lucene.analysis.cjk.CJKAnalyzer;
import org.apache.lucene.analysis.en.EnglishAnalyzer;
import org.apache.lucene.analysis.tokenattributes.CharTermAttribute;
import org.apache.lucene.document.Document;
import org.apache.lucene.document.Field;
import org.apache.lucene.document.StringField;
import org.apache.lucene.document.TextField;
import org.apache.lucene.index.DirectoryReader;
import org.apache.lucene.index.IndexWriter;
import org.apache.lucene.index.IndexWriterConfig;
import org.apache.lucene.index.SerialMergeScheduler;
import org.apache.lucene.index.Term;
import org.apache.lucene.search.BooleanClause;
import org.apache.lucene.search.BooleanQuery;
import org.apache.lucene.search.IndexSearcher;
import org.apache.lucene.search.ScoreDoc;
import org.apache.lucene.search.TermQuery;
import org.apache.lucene.store.MMapDirectory;

public class JavaLucene {
  static long cpu() { return ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime(); }

  // The string member of a line of JSON, which has no other quotes than those JSON escapes.
  static String member(String line, String name) {
    int at = line.indexOf("\"" + name + "\":");
    if (at < 0) return "";
    at = line.indexOf('"', at + name.length() + 3) + 1;
    StringBuilder out = new StringBuilder();
    for (; line.charAt(at) != '"'; ++at) {
      char c = line.charAt(at);
      if (c != '\\') { out.append(c); continue; }
      c = line.charAt(++at);
      if (c == 'u') { out.append((char) Integer.parseInt(line.substring(at + 1, at + 5), 16)); at += 4; }
      else out.append(c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c);
    }
    return out.toString();
  }

  static void index(String[] args) throws Exception {
    IndexWriterConfig config = new IndexWriterConfig(new CJKAnalyzer());
    config.setOpenMode(IndexWriterConfig.OpenMode.CREATE_OR_APPEND);
    config.setRAMBufferSizeMB(64);
    config.setMergeScheduler(new SerialMergeScheduler());
    long begin = cpu();
    int count = 0;
    try (IndexWriter writer = new IndexWriter(MMapDirectory.open(Paths.get(args[1])), config);
         BufferedReader in = Files.newBufferedReader(Paths.get(args[2]), StandardCharsets.UTF_8)) {
      for (String line; (line = in.readLine()) != null; ++count) {
        Document document = new Document();
        document.add(new StringField("id", member(line, "id"), Field.Store.YES));
        document.add(new TextField("text", member(line, "text"), Field.Store.YES));
        writer.addDocument(document);
      }
      if (args.length > 3) writer.forceMerge(1);
      writer.commit();
    }
    System.out.printf("{\"program\": \"java-lucene\", \"documents\": %d, \"index_cpu_s\": %.1f}%n", count, (cpu() - begin) / 1e9);
  }

  static void search(String[] args) throws Exception {
    List<String> questions = new ArrayList<>();
    for (String line : Files.readAllLines(Paths.get(args[2])))
      if (line.indexOf('\t') > 0) questions.add(line.substring(line.indexOf('\t') + 1));
    int top = Integer.parseInt(args[3]), passes = Integer.parseInt(args[4]);
    CJKAnalyzer analyzer = new CJKAnalyzer();
    try (DirectoryReader reader = DirectoryReader.open(MMapDirectory.open(Paths.get(args[1])))) {
      IndexSearcher searcher = new IndexSearcher(reader);
      searcher.setQueryCache(null);
      double[] times = new double[questions.size()];
      long hits = 0;
      for (int pass = 0; pass < passes; ++pass) {
        hits = 0;
        for (int i = 0; i < times.length; ++i) {
          long begin = cpu();
          BooleanQuery.Builder query = new BooleanQuery.Builder();
          for (String term : terms(analyzer, questions.get(i))) query.add(new TermQuery(new Term("text", term)), BooleanClause.Occur.SHOULD);
          hits += searcher.search(query.build(), top).scoreDocs.length;
          times[i] = (cpu() - begin) / 1e3;
        }
      }
      double sum = 0;
      for (double time : times) sum += time;
      Arrays.sort(times);
      System.out.printf("{\"program\": \"java-lucene\", \"segments\": %d, \"top\": %d, \"queries\": %d, \"mean_us\": %.0f, \"p50_us\": %.0f, "
              + "\"p99_us\": %.0f, \"hits\": %.1f}%n", reader.leaves().size(), top, times.length, sum / times.length,
          times[times.length / 2], times[times.length * 99 / 100], (double) hits / times.length);
    }
  }

  static LinkedHashSet<String> terms(Analyzer analyzer, String text) throws Exception {
    LinkedHashSet<String> terms = new LinkedHashSet<>();
    try (TokenStream stream = analyzer.tokenStream("text", new StringReader(text))) {
      CharTermAttribute term = stream.addAttribute(CharTermAttribute.class);
      for (stream.reset(); stream.incrementToken(); ) terms.add(term.toString());
      stream.end();
    }
    return terms;
  }

  static void run(String[] args) throws Exception {
    Analyzer analyzer = args[1].equals("english") ? new EnglishAnalyzer() : new CJKAnalyzer();
    try (IndexWriter writer = new IndexWriter(MMapDirectory.open(Paths.get(args[2])), new IndexWriterConfig(analyzer));
         BufferedReader in = Files.newBufferedReader(Paths.get(args[3]), StandardCharsets.UTF_8)) {
      for (String line; (line = in.readLine()) != null; ) {
        Document document = new Document();
        document.add(new StringField("id", member(line, "id"), Field.Store.YES));
        document.add(new TextField("text", member(line, "title") + "\n" + member(line, "text"), Field.Store.NO));
        writer.addDocument(document);
      }
    }
    try (DirectoryReader reader = DirectoryReader.open(MMapDirectory.open(Paths.get(args[2])));
         PrintWriter out = new PrintWriter(args[5], "UTF-8")) {
      IndexSearcher searcher = new IndexSearcher(reader);
      for (String line : Files.readAllLines(Paths.get(args[4]))) {
        int tab = line.indexOf('\t');
        if (tab < 0) continue;
        BooleanQuery.Builder query = new BooleanQuery.Builder();
        for (String term : terms(analyzer, line.substring(tab + 1))) query.add(new TermQuery(new Term("text", term)), BooleanClause.Occur.SHOULD);
        int rank = 0;
        for (ScoreDoc hit : searcher.search(query.build(), 100).scoreDocs)
          out.printf("%s Q0 %s %d %.6f java%n", line.substring(0, tab), searcher.doc(hit.doc).get("id"), ++rank, hit.score);
      }
    }
  }

  public static void main(String[] args) throws Exception {
    if (args.length >= 3 && args[0].equals("index")) index(args);
    else if (args.length == 5 && args[0].equals("search")) search(args);
    else if (args.length == 6 && args[0].equals("run")) run(args);
    else { System.err.println("usage: see the head of JavaLucene.java"); System.exit(2); }
  }
}
