// SPDX-License-Identifier: Apache-2.0

using System.Text;
using Mooncake.Mesh.Node.Replay;

namespace Mooncake.Mesh.Node.Tests.Replay;

public sealed class TraceReaderTests
{
    private const string Good =
        """{"timestamp": 1.5, "input_length": 9, "output_length": 1, "hash_ids": [7, 8], "x": 1}""";

    [Fact]
    public async Task Requests_are_read_with_their_lines_and_empty_lines_are_skipped()
    {
        List<TraceRequest> requests = await ReadAsync($"{Good}\n\n{Good}");
        Assert.Equal([1, 3], requests.Select(request => request.Line));
        Assert.All(requests, request => Assert.Equal(1.5, request.Timestamp));
        Assert.All(requests, request => Assert.Equal([7, 8], request.HashIds));
    }

    [Theory]
    [InlineData("{", "no JSON at character 2")]
    [InlineData("7", "not a JSON object")]
    [InlineData("""{"input_length": 9, "output_length": 1, "hash_ids": []}""", "field 'timestamp' is missing")]
    [InlineData("""{"timestamp": 0, "input_length": 9, "output_length": 1}""", "field 'hash_ids' is missing")]
    [InlineData("""{"timestamp": 0, "input_length": -9, "output_length": 1, "hash_ids": []}""",
        "field 'input_length' is no number from 0 on")]
    [InlineData("""{"timestamp": 0, "input_length": 9, "output_length": "x", "hash_ids": []}""",
        "field 'output_length' is no number from 0 on")]
    [InlineData("""{"timestamp": 0, "input_length": 9, "output_length": 1, "hash_ids": 7}""",
        "field 'hash_ids' is no array")]
    [InlineData("""{"timestamp": 0, "input_length": 9, "output_length": 1, "hash_ids": [1, 1.5]}""",
        "field 'hash_ids[1]' is no whole number")]
    public async Task A_wrong_line_is_named_with_its_field(string line, string message)
    {
        MeshException e = await Assert.ThrowsAsync<MeshException>(() => ReadAsync($"{Good}\n{line}"));
        Assert.Equal("trace", e.Error.Stage);
        Assert.Equal($"t.jsonl line 2: {message}", e.Error.Message);
    }

    [Fact]
    public async Task The_shipped_trace_is_what_the_generator_makes()
    {
        string shipped = await File.ReadAllTextAsync(Path.Combine(TestTree.Root, "packaging/demo/demo-trace.jsonl"));
        string made = string.Concat(TraceGenerator.Lines(TraceGenerator.DemoRequests, TraceGenerator.DemoSeed)
            .Select(line => line + "\n"));
        Assert.Equal(made, shipped);
        List<TraceRequest> requests = await ReadAsync(shipped);
        Assert.Equal(TraceGenerator.DemoRequests, requests.Count);
        double[] times = [.. requests.Select(request => request.Timestamp)];
        Assert.Equal(times.Order(), times);
    }

    private static async Task<List<TraceRequest>> ReadAsync(string text)
    {
        var requests = new List<TraceRequest>();
        var stream = new MemoryStream(Encoding.UTF8.GetBytes(text));
        await foreach (TraceRequest request in TraceReader.ReadAsync(stream, "t.jsonl", CancellationToken.None))
            requests.Add(request);
        return requests;
    }
}
