// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Shared;

namespace Mooncake.Mesh.Tests.Control;

/// <summary>
/// Every decoder, fed with bytes that are nearly right: it refuses in the one way there is, and takes no memory that
/// the bytes did not pay for.
/// </summary>
public sealed class CodecFuzzTests
{
    private const int Rounds = 4000;

    /// <summary>A list of n bytes may become n objects of some 100 bytes; more is what a length word made up.</summary>
    private const long AllocatedPerByte = 128;

    private const long AllocatedAtAll = 16 * 1024;

    [Fact]
    public void Every_message_has_a_sample()
    {
        var messages = typeof(Wire).Assembly.GetTypes()
            .Where(type => !type.IsInterface && type.GetInterfaces().Any(i => i.IsGenericType
                && i.GetGenericTypeDefinition() == typeof(IWireMessage<>) && i.GenericTypeArguments[0] == type))
            .Select(type => type.Name)
            .Except([nameof(ObjectRecord)]);
        var samples = WireCorpus.Requests.Concat(WireCorpus.Others).Select(sample => sample.Message);
        Assert.Empty(messages.Except(samples));
        Assert.Empty(Enum.GetValues<MessageType>().Except(
            WireCorpus.Requests.Concat(WireCorpus.Others).Select(sample => sample.Type)));
    }

    [Fact]
    public void Mutated_bytes_are_read_or_refused_and_cost_little_memory()
    {
        var mutator = new Mutator(20_26);
        foreach (var sample in WireCorpus.Requests.Concat(WireCorpus.Others))
        {
            sample.Read(sample.Body);
            for (int round = 0; round < Rounds; round++)
                Feed(sample, mutator.Next(sample.Body));
        }
    }

    [Fact]
    public void Long_lists_of_nothing_are_read_or_refused_and_cost_little_memory()
    {
        var mutator = new Mutator(7);
        foreach (var sample in WireCorpus.Requests.Concat(WireCorpus.Others))
        {
            byte[] tail = new byte[64 * 1024];
            for (int round = 0; round < 50; round++)
            {
                tail.AsSpan().Fill((byte)mutator.Random.Next(256));
                int kept = mutator.Random.Next(1, sample.Body.Length + 1);
                Feed(sample, [.. sample.Body[..kept], 0xdd, 0, 0, 4, 0, .. tail]);
            }
        }
    }

    private static void Feed(WireSample sample, byte[] bytes)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        try
        {
            sample.Read(bytes);
        }
        catch (Exception e) when (WireCorpus.IsRefusal(e))
        {
            Assert.NotEmpty(e.Message);
        }
        catch (Exception e)
        {
            Assert.Fail($"{sample.Message}: {e.GetType().Name} on {Start(bytes)}");
        }

        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.True(allocated <= AllocatedAtAll + (AllocatedPerByte * bytes.Length),
            $"{sample.Message}: {allocated} bytes for {bytes.Length}: {Start(bytes)}");
    }

    private static string Start(byte[] bytes) => Convert.ToHexString(bytes.AsSpan(0, Math.Min(bytes.Length, 200)));
}
