// Java Lucene behind as much of the OpenSearch and Elasticsearch REST interface as wenqu speaks: what it is tested against
// where there is no cluster. The index, its analysis, its similarities, its queries and its counts are Lucene's; what is
// here translates. Requests are read strictly: a parameter, a query or a field type that is not known is an error, as it
// is there, and so is what a cluster would not take (more than 1,024 clauses, a window beyond 10,000).
//
//   java -Dsun.net.httpserver.nodelay=true -cp LUCENE_JARS LuceneServer.java [--product elasticsearch|opensearch] [--version N.N.N] [--user NAME:PASSWORD]
//       [--api-key KEY] [--keystore FILE.p12 --password WORD]
//
// Prints "port N" and serves 127.0.0.1:N until its standard input ends. For tests only: POST /_test?health=red sets the
// health, ?reject=N has N items of bulk requests refused with 429, ?unavailable=N answers N requests with 503.
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsServer;
import java.io.FileInputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.security.KeyStore;
import java.util.*;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import org.apache.lucene.analysis.core.WhitespaceAnalyzer;
import org.apache.lucene.document.*;
import org.apache.lucene.index.*;
import org.apache.lucene.search.*;
import org.apache.lucene.search.similarities.*;
import org.apache.lucene.search.similarity.LegacyBM25Similarity;
import org.apache.lucene.store.ByteBuffersDirectory;
import org.apache.lucene.util.BytesRef;

public class LuceneServer {
  static final int MAX_WINDOW = 10_000;

  // What the server answers with instead of a result.
  static class Refusal extends RuntimeException {
    final int status;
    final String type;
    Refusal(int status, String type, String reason) { super(reason); this.status = status; this.type = type; }
  }
  static Refusal bad(String reason) { return new Refusal(400, "parsing_exception", reason); }

  // ------------------------------------------------------------------ JSON

  static class Json {
    final String text;
    int at = 0;
    Json(String text) { this.text = text; }
    static Object parse(String text) {
      Json json = new Json(text);
      Object value = json.value();
      json.blank();
      if (json.at != text.length()) throw bad("something follows the JSON at " + json.at);
      return value;
    }
    void blank() { while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) ++at; }
    char next() { if (at >= text.length()) throw bad("the JSON ends early"); return text.charAt(at++); }
    void expect(char c) { blank(); if (next() != c) throw bad("no " + c + " at " + (at - 1)); }
    Object value() {
      blank();
      if (at >= text.length()) throw bad("the JSON ends early");
      char c = text.charAt(at);
      if (c == '{') {
        Map<String, Object> object = new LinkedHashMap<>();
        ++at; blank();
        if (text.charAt(at) == '}') { ++at; return object; }
        do { blank(); String name = string(); expect(':'); object.put(name, value()); blank(); } while (next() == ',');
        if (text.charAt(at - 1) != '}') throw bad("no } at " + (at - 1));
        return object;
      }
      if (c == '[') {
        List<Object> list = new ArrayList<>();
        ++at; blank();
        if (text.charAt(at) == ']') { ++at; return list; }
        do { list.add(value()); blank(); } while (next() == ',');
        if (text.charAt(at - 1) != ']') throw bad("no ] at " + (at - 1));
        return list;
      }
      if (c == '"') return string();
      int begin = at;
      while (at < text.length() && ",]} \t\r\n".indexOf(text.charAt(at)) < 0) ++at;
      String word = text.substring(begin, at);
      if (word.equals("true")) return true;
      if (word.equals("false")) return false;
      if (word.equals("null")) return null;
      try {
        if (word.matches("-?[0-9]+")) return Long.parseLong(word);
        return Double.parseDouble(word);
      } catch (NumberFormatException e) { throw bad("no value at " + begin); }
    }
    String string() {
      if (next() != '"') throw bad("no string at " + (at - 1));
      StringBuilder out = new StringBuilder();
      for (char c; (c = next()) != '"'; ) {
        if (c < 0x20) throw bad("a control character at " + (at - 1));
        if (c != '\\') { out.append(c); continue; }
        c = next();
        switch (c) {
          case 'n': out.append('\n'); break;
          case 't': out.append('\t'); break;
          case 'r': out.append('\r'); break;
          case 'b': out.append('\b'); break;
          case 'f': out.append('\f'); break;
          case 'u': out.append((char) Integer.parseInt(text.substring(at, at + 4), 16)); at += 4; break;
          default: out.append(c);
        }
      }
      return out.toString();
    }
    static String write(Object value) { StringBuilder out = new StringBuilder(); write(value, out); return out.toString(); }
    static void write(Object value, StringBuilder out) {
      if (value instanceof Map) {
        out.append('{');
        String comma = "";
        for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
          out.append(comma); comma = ",";
          write(entry.getKey().toString(), out);
          out.append(':');
          write(entry.getValue(), out);
        }
        out.append('}');
      } else if (value instanceof Collection) {
        out.append('[');
        String comma = "";
        for (Object entry : (Collection<?>) value) { out.append(comma); comma = ","; write(entry, out); }
        out.append(']');
      } else if (value instanceof String) {
        out.append('"');
        for (char c : ((String) value).toCharArray()) {
          if (c == '"' || c == '\\') out.append('\\').append(c);
          else if (c < 0x20) out.append(String.format("\\u%04x", (int) c));
          else out.append(c);
        }
        out.append('"');
      } else {
        out.append(value);
      }
    }
  }

  static Map<String, Object> object(Object... pairs) {
    Map<String, Object> map = new LinkedHashMap<>();
    for (int i = 0; i < pairs.length; i += 2) map.put((String) pairs[i], pairs[i + 1]);
    return map;
  }
  @SuppressWarnings("unchecked") static Map<String, Object> map(Object value) {
    if (!(value instanceof Map)) throw bad("an object is wanted");
    return (Map<String, Object>) value;
  }
  static List<?> list(Object value) { return value instanceof List ? (List<?>) value : List.of(value); }
  static void only(Map<String, Object> map, String... names) {
    for (String name : map.keySet())
      if (!Arrays.asList(names).contains(name)) throw bad("unknown key [" + name + "]");
  }
  static long number(Object value) {
    if (!(value instanceof Long)) throw bad("a whole number is wanted, not [" + value + "]");
    return (Long) value;
  }

  // ----------------------------------------------------------------- an index

  class Index {
    final Map<String, Object> mappings;
    final Map<String, Object> properties;
    final Set<String> excludes = new HashSet<>();
    final Map<String, Similarity> similarities = new HashMap<>();
    final Map<String, Map<String, Object>> sources = new ConcurrentHashMap<>();   // what a realtime get sees
    final IndexWriter writer;
    final SearcherManager searchers;
    final Similarity similarity;

    Index(Map<String, Object> definition) throws IOException {
      only(definition, "settings", "mappings");
      Map<String, Object> settings = map(map(definition.get("settings")).get("index"));
      if (opensearch) only(settings, "analysis", "similarity", "knn");
      else only(settings, "analysis", "similarity");
      Map<String, Object> analyzers = map(map(settings.get("analysis")).get("analyzer"));
      for (Object analyzer : analyzers.values())
        if (!analyzer.equals(object("type", "custom", "tokenizer", "whitespace"))) throw bad("only the whitespace tokenizer is known");
      for (Map.Entry<String, Object> entry : map(settings.get("similarity")).entrySet()) {
        Map<String, Object> parameters = map(entry.getValue());
        only(parameters, "type", "k1", "b");
        if (!"BM25".equals(parameters.get("type"))) throw bad("only BM25 is known");
        float k1 = ((Number) parameters.get("k1")).floatValue(), b = ((Number) parameters.get("b")).floatValue();
        // OpenSearch 3 has Lucene's own; those before it multiply by k1 + 1.
        similarities.put(entry.getKey(), opensearch && version.startsWith("3.") ? new BM25Similarity(k1, b) : new LegacyBM25Similarity(k1, b));
      }
      mappings = map(definition.get("mappings"));
      only(mappings, "dynamic", "_meta", "_source", "properties");
      if (mappings.get("dynamic") != Boolean.FALSE) throw bad("only dynamic: false is known");
      for (Object name : list(map(mappings.get("_source")).get("excludes"))) excludes.add((String) name);
      properties = map(mappings.get("properties"));
      for (Object property : properties.values()) {
        Map<String, Object> field = map(property);
        if (isVector(field)) { checkVector(field, settings); continue; }
        only(field, "type", "analyzer", "similarity", "index_options");
        if (field.get("type").equals("text") && !(analyzers.containsKey(field.get("analyzer")) && similarities.containsKey(field.get("similarity"))))
          throw new Refusal(400, "mapper_parsing_exception", "a field has an analyzer or a similarity that is not there");
        if (!Set.of("text", "keyword", "integer", "long").contains(field.get("type"))) throw bad("unknown type [" + field.get("type") + "]");
      }
      similarity = new PerFieldSimilarityWrapper() {
        @Override public Similarity get(String name) {
          Object field = properties.get(name);
          Object own = field == null ? null : map(field).get("similarity");
          return own == null ? new BM25Similarity() : similarities.get(own);
        }
      };
      writer = new IndexWriter(new ByteBuffersDirectory(), new IndexWriterConfig(new WhitespaceAnalyzer()).setSimilarity(similarity));
      searchers = new SearcherManager(writer, new SearcherFactory() {
        @Override public IndexSearcher newSearcher(IndexReader reader, IndexReader before) {
          IndexSearcher searcher = new IndexSearcher(reader);
          searcher.setSimilarity(similarity);
          return searcher;
        }
      });
    }

    boolean isVector(Map<String, Object> field) { return Set.of("dense_vector", "knn_vector").contains(field.get("type")); }

    // As each of the products declares vectors.
    void checkVector(Map<String, Object> field, Map<String, Object> settings) {
      boolean ours = field.get("type").equals("knn_vector");
      if (ours != opensearch) throw new Refusal(400, "mapper_parsing_exception", "No handler for type [" + field.get("type") + "]");
      if (ours) {
        only(field, "type", "dimension", "method");
        if (settings.get("knn") != Boolean.TRUE) throw bad("index.knn is not set");
        if (!field.get("method").equals(object("name", "hnsw", "space_type", "cosinesimil", "engine", "lucene"))) throw bad("another method than is known");
        if (number(field.get("dimension")) > 16_000) throw bad("Dimension value cannot be greater than 16000");
      } else {
        only(field, "type", "dims", "index", "similarity");
        if (field.get("index") != Boolean.TRUE || !"cosine".equals(field.get("similarity"))) throw bad("only indexed vectors that are compared by their angle are known");
        if (number(field.get("dims")) > 4096) throw bad("The number of dimensions should be in the range [1, 4096]");
      }
    }
    long dimensions(Map<String, Object> field) { return number(field.get(opensearch ? "dimension" : "dims")); }

    float[] vector(Object value, long dimensions) {
      List<?> numbers = list(value);
      if (numbers.size() != dimensions) throw new Refusal(400, "mapper_parsing_exception", "The vector has [" + numbers.size() + "] dimensions, not [" + dimensions + "]");
      float[] vector = new float[numbers.size()];
      double squares = 0;
      for (int i = 0; i < vector.length; ++i) {
        vector[i] = ((Number) numbers.get(i)).floatValue();
        squares += (double) vector[i] * vector[i];
      }
      if (squares == 0) throw new Refusal(400, "mapper_parsing_exception", "a vector of length zero has no angle");
      return vector;
    }

    void put(String id, Map<String, Object> source) throws IOException {
      Document document = new Document();
      document.add(new StringField("_id", id, Field.Store.YES));
      for (Map.Entry<String, Object> property : properties.entrySet()) {
        Object value = source.get(property.getKey());
        if (value == null) continue;
        if (isVector(map(property.getValue()))) {
          float[] vector = vector(value, dimensions(map(property.getValue())));
          java.nio.ByteBuffer bytes = java.nio.ByteBuffer.allocate(4 * vector.length);
          for (float number : vector) bytes.putFloat(number);
          document.add(new BinaryDocValuesField(property.getKey(), new BytesRef(bytes.array())));
          continue;
        }
        for (Object one : list(value)) add(document, property.getKey(), map(property.getValue()), one);
      }
      Map<String, Object> kept = new LinkedHashMap<>(source);
      kept.keySet().removeAll(excludes);
      document.add(new StoredField("_source", Json.write(kept)));
      writer.updateDocument(new Term("_id", id), document);
      sources.put(id, kept);
    }

    void add(Document document, String name, Map<String, Object> field, Object value) {
      String type = (String) field.get("type");
      if (type.equals("integer") || type.equals("long")) {
        if (!(value instanceof Long)) throw new Refusal(400, "mapper_parsing_exception", "failed to parse field [" + name + "] of type [" + type + "]");
        document.add(new LongPoint(name, (Long) value));
        document.add(new NumericDocValuesField(name, (Long) value));
        return;
      }
      if (!(value instanceof String)) throw new Refusal(400, "mapper_parsing_exception", "failed to parse field [" + name + "] of type [" + type + "]");
      if (type.equals("keyword")) {
        document.add(new StringField(name, (String) value, Field.Store.NO));
        document.add(new SortedSetDocValuesField(name, new BytesRef((String) value)));
        return;
      }
      FieldType text = new FieldType();
      text.setTokenized(true);
      text.setIndexOptions("freqs".equals(field.get("index_options")) ? IndexOptions.DOCS_AND_FREQS : IndexOptions.DOCS_AND_FREQS_AND_POSITIONS);
      document.add(new Field(name, (String) value, text));
    }

    boolean remove(String id) throws IOException {
      writer.deleteDocuments(new Term("_id", id));
      return sources.remove(id) != null;
    }

    // ---------------------------------------------------------------- queries

    Query query(Map<String, Object> query) {
      if (query.size() != 1) throw bad("a query has one name");
      String name = query.keySet().iterator().next();
      Map<String, Object> body = map(query.get(name));
      switch (name) {
        case "match_all": return new MatchAllDocsQuery();
        case "bool": return bool(body);
        case "term": return term(body);
        case "terms": {
          Map.Entry<String, Object> field = body.entrySet().iterator().next();
          List<BytesRef> values = new ArrayList<>();
          for (Object value : list(field.getValue())) values.add(new BytesRef((String) value));
          return values.isEmpty() ? new MatchNoDocsQuery() : new TermInSetQuery(field.getKey(), values);
        }
        case "range": {
          Map.Entry<String, Object> field = body.entrySet().iterator().next();
          Map<String, Object> bounds = map(field.getValue());
          only(bounds, "gte", "gt", "lte", "lt");
          long from = Long.MIN_VALUE, to = Long.MAX_VALUE;
          if (bounds.containsKey("gte")) from = number(bounds.get("gte"));
          if (bounds.containsKey("gt")) from = number(bounds.get("gt")) + 1;
          if (bounds.containsKey("lte")) to = number(bounds.get("lte"));
          if (bounds.containsKey("lt")) to = number(bounds.get("lt")) - 1;
          return LongPoint.newRangeQuery(field.getKey(), from, to);
        }
        default: throw bad("unknown query [" + name + "]");
      }
    }

    Query bool(Map<String, Object> body) {
      only(body, "must", "should", "filter", "must_not", "minimum_should_match");
      BooleanQuery.Builder builder = new BooleanQuery.Builder();
      boolean positive = false;
      for (BooleanClause.Occur occur : BooleanClause.Occur.values()) {
        String name = occur.name().toLowerCase(Locale.ROOT);
        if (!body.containsKey(name)) continue;
        for (Object clause : list(body.get(name))) builder.add(query(map(clause)), occur);
        positive |= occur != BooleanClause.Occur.MUST_NOT;
      }
      if (!positive) builder.add(new MatchAllDocsQuery(), BooleanClause.Occur.FILTER);
      if (body.containsKey("minimum_should_match")) builder.setMinimumNumberShouldMatch((int) number(body.get("minimum_should_match")));
      return builder.build();
    }

    Query term(Map<String, Object> body) {
      Map.Entry<String, Object> field = body.entrySet().iterator().next();
      Object value = field.getValue();
      float boost = 1;
      if (value instanceof Map) {
        only(map(value), "value", "boost");
        if (map(value).containsKey("boost")) boost = ((Number) map(value).get("boost")).floatValue();
        value = map(value).get("value");
      }
      if (boost < 0) throw bad("a boost must not be negative");
      Query term = new TermQuery(new Term(field.getKey(), (String) value));
      return boost == 1 ? term : new BoostQuery(term, boost);
    }

    Sort sort(List<?> wanted) {
      List<SortField> fields = new ArrayList<>();
      for (Object entry : wanted) {
        String name = entry instanceof String ? (String) entry : map(entry).keySet().iterator().next();
        boolean descending = !(entry instanceof String) && "desc".equals(map(entry).get(name));
        if (name.equals("_score")) fields.add(SortField.FIELD_SCORE);
        else if (name.equals("_doc")) fields.add(SortField.FIELD_DOC);
        else if (!properties.containsKey(name)) throw bad("No mapping found for [" + name + "] in order to sort on");
        else if (map(properties.get(name)).get("type").equals("keyword")) fields.add(new SortedSetSortField(name, descending));
        else fields.add(new SortField(name, SortField.Type.LONG, descending));
      }
      return new Sort(fields.toArray(new SortField[0]));
    }

    // The nearest vectors, as each of the products asks for them; found by looking at all of them, for this Lucene has no
    // graph of vectors yet.
    Map<String, Object> nearest(Map<String, Object> body) throws IOException {
      Map<String, Object> knn;
      String name;
      Object asked;
      if (opensearch) {
        only(body, "query", "size", "track_total_hits");
        only(map(body.get("query")), "knn");
        Map.Entry<String, Object> field = map(map(body.get("query")).get("knn")).entrySet().iterator().next();
        name = field.getKey();
        knn = map(field.getValue());
        only(knn, "vector", "k", "filter");
        asked = knn.get("vector");
      } else {
        String[] numbers = version.split("\\.");
        if (Integer.parseInt(numbers[0]) * 100 + Integer.parseInt(numbers[1]) < 804) throw bad("unknown key [knn]");
        only(body, "knn", "size", "track_total_hits");
        knn = map(body.get("knn"));
        only(knn, "field", "query_vector", "k", "num_candidates", "filter");
        name = (String) knn.get("field");
        asked = knn.get("query_vector");
        if (number(knn.get("k")) > number(knn.get("num_candidates"))) throw bad("[num_candidates] cannot be less than [k]");
        if (number(knn.get("num_candidates")) > 10_000) throw bad("[num_candidates] cannot exceed [10000]");
      }
      long k = number(knn.get("k"));
      if (k < 1 || k > 10_000) throw bad("[k] must be between 1 and 10000");
      Map<String, Object> field = map(properties.get(name));
      if (!isVector(field)) throw bad("[" + name + "] is no vector");
      float[] wanted = vector(asked, dimensions(field));
      Query filter = knn.containsKey("filter") ? query(map(knn.get("filter"))) : new MatchAllDocsQuery();
      IndexSearcher searcher = searchers.acquire();
      try {
        List<Map.Entry<Double, Integer>> found = new ArrayList<>();
        searcher.search(filter, new SimpleCollector() {
          BinaryDocValues values;
          int base;
          @Override protected void doSetNextReader(LeafReaderContext context) throws IOException {
            values = DocValues.getBinary(context.reader(), name);
            base = context.docBase;
          }
          @Override public void collect(int doc) throws IOException {
            if (!values.advanceExact(doc)) return;
            BytesRef bytes = values.binaryValue();
            java.nio.FloatBuffer vector = java.nio.ByteBuffer.wrap(bytes.bytes, bytes.offset, bytes.length).asFloatBuffer();
            double product = 0, a = 0, b = 0;
            for (int i = 0; i < wanted.length; ++i) {
              product += (double) wanted[i] * vector.get(i);
              a += (double) wanted[i] * wanted[i];
              b += (double) vector.get(i) * vector.get(i);
            }
            found.add(Map.entry((1 + product / Math.sqrt(a * b)) / 2, base + doc));
          }
          @Override public ScoreMode scoreMode() { return ScoreMode.COMPLETE_NO_SCORES; }
        });
        found.sort((a, b) -> Double.compare(b.getKey(), a.getKey()));
        int size = body.containsKey("size") ? (int) number(body.get("size")) : 10;
        List<Object> hits = new ArrayList<>();
        for (Map.Entry<Double, Integer> one : found.subList(0, (int) Math.min(found.size(), Math.min(k, size)))) {
          Document stored = searcher.doc(one.getValue());
          hits.add(object("_index", "index", "_id", stored.get("_id"), "_score", one.getKey(), "_source", map(Json.parse(stored.get("_source")))));
        }
        return object("took", 1L, "timed_out", false, "_shards", object("total", 1L, "successful", 1L, "skipped", 0L, "failed", 0L),
            "hits", object("max_score", null, "hits", hits));
      } finally {
        searchers.release(searcher);
      }
    }

    Map<String, Object> search(Map<String, Object> body) throws IOException {
      boolean byVector = opensearch ? body.containsKey("query") && map(body.get("query")).containsKey("knn") : body.containsKey("knn");
      if (byVector) return nearest(body);
      only(body, "query", "size", "from", "sort", "track_total_hits", "_source", "aggs");
      int size = body.containsKey("size") ? (int) number(body.get("size")) : 10;
      int from = body.containsKey("from") ? (int) number(body.get("from")) : 0;
      if (from + size > MAX_WINDOW)
        throw new Refusal(400, "illegal_argument_exception", "Result window is too large, from + size must be less than or equal to: [10000]");
      Object track = body.getOrDefault("track_total_hits", 10_000L);
      int counted = track == Boolean.TRUE ? Integer.MAX_VALUE : track == Boolean.FALSE ? 1 : (int) number(track);
      Query query;
      try {
        query = body.containsKey("query") ? query(map(body.get("query"))) : new MatchAllDocsQuery();
      } catch (BooleanQuery.TooManyClauses e) {
        throw new Refusal(400, "too_many_clauses", "maxClauseCount is set to 1024");
      }
      Sort sort = sort(body.containsKey("sort") ? list(body.get("sort")) : List.of("_score"));
      IndexSearcher searcher = searchers.acquire();
      try {
        List<Object> hits = new ArrayList<>();
        TotalHits total = new TotalHits(0, TotalHits.Relation.EQUAL_TO);
        if (size > 0) {
          TopFieldCollector collector = TopFieldCollector.create(sort, from + size, null, Math.max(counted, from + size));
          searcher.search(query, collector);
          TopDocs top = collector.topDocs(from, size);
          total = top.totalHits;
          boolean scored = sort.getSort()[0] == SortField.FIELD_SCORE;
          for (ScoreDoc doc : top.scoreDocs) {
            Document stored = searcher.doc(doc.doc);
            Map<String, Object> source = map(Json.parse(stored.get("_source")));
            if (body.containsKey("_source")) source.keySet().retainAll(list(body.get("_source")));
            Object score = scored ? ((FieldDoc) doc).fields[0] : null;
            hits.add(object("_index", "index", "_id", stored.get("_id"), "_score", score, "_source", source, "sort", List.of(score == null ? 0L : score)));
          }
        }
        Map<String, Object> answer = object("took", 1L, "timed_out", false, "_shards", object("total", 1L, "successful", 1L, "skipped", 0L, "failed", 0L));
        Map<String, Object> found = object("max_score", null, "hits", hits);
        if (track != Boolean.FALSE)
          found.put("total", object("value", total.value, "relation", total.relation == TotalHits.Relation.EQUAL_TO ? "eq" : "gte"));
        answer.put("hits", found);
        if (body.containsKey("aggs")) {
          Map<String, Object> results = new LinkedHashMap<>();
          for (Map.Entry<String, Object> aggregation : map(body.get("aggs")).entrySet())
            results.put(aggregation.getKey(), aggregate(searcher, query, map(aggregation.getValue())));
          answer.put("aggregations", results);
        }
        return answer;
      } finally {
        searchers.release(searcher);
      }
    }

    Object aggregate(IndexSearcher searcher, Query query, Map<String, Object> aggregation) throws IOException {
      only(aggregation, "filters", "stats");
      if (aggregation.containsKey("filters")) {
        only(map(aggregation.get("filters")), "filters");
        List<Object> buckets = new ArrayList<>();
        for (Object filter : list(map(aggregation.get("filters")).get("filters"))) {
          Query both = new BooleanQuery.Builder().add(query, BooleanClause.Occur.FILTER).add(query(map(filter)), BooleanClause.Occur.FILTER).build();
          buckets.add(object("doc_count", (long) searcher.count(both)));
        }
        return object("buckets", buckets);
      }
      only(map(aggregation.get("stats")), "field");
      String field = (String) map(aggregation.get("stats")).get("field");
      long[] sums = new long[2];
      searcher.search(query, new SimpleCollector() {
        NumericDocValues values;
        @Override protected void doSetNextReader(LeafReaderContext context) throws IOException { values = DocValues.getNumeric(context.reader(), field); }
        @Override public void collect(int doc) throws IOException { if (values.advanceExact(doc)) { ++sums[0]; sums[1] += values.longValue(); } }
        @Override public ScoreMode scoreMode() { return ScoreMode.COMPLETE_NO_SCORES; }
      });
      return object("count", sums[0], "min", null, "max", null, "avg", sums[0] == 0 ? null : (double) sums[1] / sums[0], "sum", (double) sums[1]);
    }
  }

  // ----------------------------------------------------------------- requests

  boolean opensearch = false;
  String version = "7.17.0";
  String authorization;
  final Map<String, Index> indexes = new ConcurrentHashMap<>();
  volatile String health = "yellow";   // as of one node with a replica that has no place
  final AtomicInteger rejected = new AtomicInteger(), unavailable = new AtomicInteger();

  Index index(String name) {
    Index index = indexes.get(name);
    if (index == null) throw new Refusal(404, "index_not_found_exception", "no such index [" + name + "]");
    return index;
  }

  Object bulk(Index index, String body) throws IOException {
    if (!body.endsWith("\n")) throw new Refusal(400, "illegal_argument_exception", "The bulk request must be terminated by a newline [\\n]");
    List<Object> items = new ArrayList<>();
    boolean errors = false;
    String[] lines = body.split("\n");
    for (int i = 0; i < lines.length; ++i) {
      Map<String, Object> action = map(Json.parse(lines[i]));
      String what = action.keySet().iterator().next();
      Map<String, Object> meta = map(action.get(what));
      only(meta, "_id", "routing");
      String id = (String) meta.get("_id");
      String source = what.equals("index") ? lines[++i] : null;
      Map<String, Object> outcome = object("_id", id);
      try {
        if (rejected.getAndUpdate(n -> Math.max(n - 1, 0)) > 0)
          throw new Refusal(429, "es_rejected_execution_exception", "rejected execution of a write: the queue is full");
        if (what.equals("index")) {
          boolean known = index.sources.containsKey(id);
          index.put(id, map(Json.parse(source)));
          outcome.put("status", known ? 200L : 201L);
        } else if (what.equals("delete")) {
          outcome.put("status", index.remove(id) ? 200L : 404L);
        } else {
          throw bad("unknown action [" + what + "]");
        }
      } catch (Refusal refusal) {
        errors = true;
        outcome.put("status", (long) refusal.status);
        outcome.put("error", object("type", refusal.type, "reason", refusal.getMessage()));
      }
      items.add(object(what, outcome));
    }
    return object("took", 1L, "errors", errors, "items", items);
  }

  Object msearch(Index index, String body) throws IOException {
    List<Object> answers = new ArrayList<>();
    String[] lines = body.split("\n");
    for (int i = 0; i + 1 < lines.length; i += 2) {
      only(map(Json.parse(lines[i])), "search_type", "allow_partial_search_results");
      try {
        Map<String, Object> answer = index.search(map(Json.parse(lines[i + 1])));
        answer.put("status", 200L);
        answers.add(answer);
      } catch (Refusal refusal) {
        answers.add(object("error", object("type", refusal.type, "reason", refusal.getMessage()), "status", (long) refusal.status));
      }
    }
    return object("took", 1L, "responses", answers);
  }

  Object get(Index index, String id) {
    Map<String, Object> source = index.sources.get(id);
    return source == null ? object("_id", id, "found", false) : object("_id", id, "found", true, "_source", source);
  }

  static void allow(Map<String, String> parameters, String... names) {
    for (String name : parameters.keySet())
      if (!Arrays.asList(names).contains(name))
        throw new Refusal(400, "illegal_argument_exception", "request contains unrecognized parameter: [" + name + "]");
  }

  Object answer(String method, String[] path, Map<String, String> parameters, String type, String body) throws IOException {
    String what = method + " " + (path.length > 1 ? path[1] : "");
    if (path.length == 0)
      return object("name", "lucene", "cluster_name", "test", "tagline", "Java Lucene, for tests",
          "version", opensearch ? object("distribution", "opensearch", "number", version) : object("number", version));
    if (path[0].equals("_test")) {
      allow(parameters, "health", "reject", "unavailable");
      health = parameters.getOrDefault("health", health);
      rejected.set(Integer.parseInt(parameters.getOrDefault("reject", "0")));
      unavailable.set(Integer.parseInt(parameters.getOrDefault("unavailable", "0")));
      return object();
    }
    if (path[0].equals("_cluster") && what.equals("GET health")) {
      allow(parameters, "wait_for_status", "timeout");
      if (path.length > 2) index(path[2]);
      boolean late = health.equals("red");
      Map<String, Object> answer = object("cluster_name", "test", "status", health, "timed_out", late, "unassigned_shards", health.equals("green") ? 0L : 1L);
      if (late) throw new Answer(408, answer);
      return answer;
    }
    if (path.length == 1) {
      switch (method) {
        case "PUT":
          if (indexes.containsKey(path[0])) throw new Refusal(400, "resource_already_exists_exception", "index [" + path[0] + "] already exists");
          if (!"application/json".equals(type)) throw new Refusal(406, "content_type", "Content-Type header [" + type + "] is not supported");
          indexes.put(path[0], new Index(map(Json.parse(body))));
          return object("acknowledged", true, "index", path[0]);
        case "DELETE": index(path[0]); indexes.remove(path[0]); return object("acknowledged", true);
        case "HEAD": case "GET": index(path[0]); return object();
        default: throw new Refusal(405, "method", "method not allowed");
      }
    }
    Index index = index(path[0]);
    switch (what) {
      case "GET _mapping": return object(path[0], object("mappings", index.mappings));
      case "POST _refresh": index.searchers.maybeRefreshBlocking(); return object("_shards", object("failed", 0L));
      case "POST _bulk":
        allow(parameters, "filter_path", "refresh");
        if (!"application/x-ndjson".equals(type)) throw new Refusal(406, "content_type", "Content-Type header [" + type + "] is not supported");
        return bulk(index, body);
      case "POST _search":
        allow(parameters, "search_type", "allow_partial_search_results");
        return index.search(map(Json.parse(body)));
      case "POST _msearch": return msearch(index, body);
      case "POST _mget": {
        allow(parameters, "_source_includes");
        List<Object> docs = new ArrayList<>();
        for (Object doc : list(map(Json.parse(body)).get("docs"))) { only(map(doc), "_id", "routing"); docs.add(get(index, (String) map(doc).get("_id"))); }
        return object("docs", docs);
      }
      case "GET _doc":
        allow(parameters, "routing");
        if (!index.sources.containsKey(path[2])) throw new Answer(404, get(index, path[2]));
        return get(index, path[2]);
      default: throw new Refusal(400, "illegal_argument_exception", "no handler for [" + method + " " + String.join("/", path) + "]");
    }
  }

  // A status that is no error.
  static class Answer extends RuntimeException {
    final int status;
    final Object body;
    Answer(int status, Object body) { this.status = status; this.body = body; }
  }

  void handle(HttpExchange exchange) throws IOException {
    int status = 200;
    Object answer;
    String body = new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8);
    try {
      Map<String, String> parameters = new LinkedHashMap<>();
      String query = exchange.getRequestURI().getQuery();
      if (query != null)
        for (String pair : query.split("&")) parameters.put(pair.split("=")[0], pair.contains("=") ? pair.substring(pair.indexOf('=') + 1) : "");
      String path = exchange.getRequestURI().getPath().replaceAll("^/+", "");
      boolean test = path.equals("_test");
      if (!test && authorization != null && !authorization.equals(exchange.getRequestHeaders().getFirst("Authorization")))
        throw new Refusal(401, "security_exception", "missing or wrong authentication credentials");
      if (!test && unavailable.getAndUpdate(n -> Math.max(n - 1, 0)) > 0) throw new Refusal(503, "unavailable", "no master");
      answer = answer(exchange.getRequestMethod(), path.isEmpty() ? new String[0] : path.split("/"), parameters,
          exchange.getRequestHeaders().getFirst("Content-Type"), body);
    } catch (Answer other) {
      status = other.status;
      answer = other.body;
    } catch (Refusal refusal) {
      status = refusal.status;
      Map<String, Object> reason = object("type", refusal.type, "reason", refusal.getMessage());
      answer = object("error", object("root_cause", List.of(reason), "type", refusal.type, "reason", refusal.getMessage()), "status", (long) status);
    } catch (Exception error) {
      error.printStackTrace();
      status = 500;
      answer = object("error", object("type", error.getClass().getName(), "reason", String.valueOf(error.getMessage())), "status", 500L);
    }
    byte[] bytes = Json.write(answer).getBytes(StandardCharsets.UTF_8);
    exchange.getResponseHeaders().add("Content-Type", "application/json");
    boolean head = exchange.getRequestMethod().equals("HEAD");
    exchange.sendResponseHeaders(status, head ? -1 : bytes.length);
    if (!head) exchange.getResponseBody().write(bytes);
    exchange.close();
  }

  public static void main(String[] args) throws Exception {
    LuceneServer lucene = new LuceneServer();
    String keystore = null, password = "";
    for (int i = 0; i + 1 < args.length; i += 2) {
      switch (args[i]) {
        case "--product": lucene.opensearch = args[i + 1].equals("opensearch"); break;
        case "--version": lucene.version = args[i + 1]; break;
        case "--user": lucene.authorization = "Basic " + Base64.getEncoder().encodeToString(args[i + 1].getBytes(StandardCharsets.UTF_8)); break;
        case "--api-key": lucene.authorization = "ApiKey " + args[i + 1]; break;
        case "--keystore": keystore = args[i + 1]; break;
        case "--password": password = args[i + 1]; break;
        default: throw new IllegalArgumentException(args[i]);
      }
    }
    InetSocketAddress address = new InetSocketAddress(InetAddress.getByName("127.0.0.1"), 0);
    HttpServer server;
    if (keystore == null) {
      server = HttpServer.create(address, 0);
    } else {
      KeyStore keys = KeyStore.getInstance("PKCS12");
      try (FileInputStream in = new FileInputStream(keystore)) { keys.load(in, password.toCharArray()); }
      KeyManagerFactory managers = KeyManagerFactory.getInstance("SunX509");
      managers.init(keys, password.toCharArray());
      SSLContext context = SSLContext.getInstance("TLS");
      context.init(managers.getKeyManagers(), null, null);
      HttpsServer https = HttpsServer.create(address, 0);
      https.setHttpsConfigurator(new HttpsConfigurator(context));
      server = https;
    }
    server.setExecutor(Executors.newFixedThreadPool(4));
    server.createContext("/", lucene::handle);
    server.start();
    System.out.println("port " + server.getAddress().getPort());
    System.out.flush();
    while (System.in.read() >= 0) {
      // Until whoever started it is gone.
    }
    server.stop(0);
    System.exit(0);
  }
}
