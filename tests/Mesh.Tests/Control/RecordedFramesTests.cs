// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Shared;

namespace Mooncake.Mesh.Tests.Control;

/// <summary>
/// Frames as each wire version has them, recorded in tests/Shared/wire-corpus-vN.txt, are read to this day, to the
/// values they were made from, and written in the same bytes. A message that is meant to change gets a new version; one
/// that is new is recorded, by MESH_TEST_RECORD=DIRECTORY, which writes the files anew from <see cref="WireCorpus"/>.
/// </summary>
public sealed class RecordedFramesTests
{
    private static IEnumerable<WireSample> Samples => WireCorpus.Requests.Concat(WireCorpus.Others);

    public static TheoryData<int> Versions => [.. Enumerable.Range(Wire.VersionMin, Wire.VersionMax)];

    [Theory]
    [MemberData(nameof(Versions))]
    public void Every_message_is_read_and_written_as_it_was_recorded(int version)
    {
        if (Environment.GetEnvironmentVariable("MESH_TEST_RECORD") is { Length: > 0 } directory)
            File.WriteAllLines(Path.Combine(directory, NameOf(version)), Samples.Select(s => LineOf(s, version)));
        string[] recorded = File.ReadAllLines(Path.Combine(AppContext.BaseDirectory, "Shared", NameOf(version)));
        var samples = Samples.ToArray();
        Assert.Equal(recorded.Select(line => line.Split(' ')[0]), samples.Select(sample => sample.Message));
        for (int i = 0; i < samples.Length; i++)
        {
            byte[] bytes = Convert.FromHexString(recorded[i].Split(' ')[1]);
            Assert.Equal(recorded[i], LineOf(samples[i], version));
            Assert.Equal(bytes, samples[i].Again(bytes, version));
        }
    }

    /// <summary>What a version does not have is what it was before there was such a field.</summary>
    [Fact]
    public void A_field_that_an_older_version_lacks_gets_its_default()
    {
        var sample = WireCorpus.Requests.Single(s => s.Type == MessageType.Publish);
        byte[] old = sample.Again(sample.Body, 1);
        Assert.True(old.Length < sample.Body.Length);
        var reader = new MessagePack.MessagePackReader(old);
        var request = PublishRequest.Read(ref reader);
        Assert.True(request.Accepted.IsNone);
        reader = new MessagePack.MessagePackReader(sample.Body);
        Assert.Equal(new RecordVersion(1, 2, 3), PublishRequest.Read(ref reader).Accepted);
    }

    private static string NameOf(int version) => $"wire-corpus-v{version}.txt";

    private static string LineOf(WireSample sample, int version) =>
        $"{sample.Message} {Convert.ToHexStringLower(sample.Again(sample.Body, version))}";
}
