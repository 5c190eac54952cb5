// SPDX-License-Identifier: Apache-2.0

using System.Globalization;

namespace Mooncake.Mesh.Node.Replay;

/// <summary>
/// Makes a trace of chats: some system prompts, conversations that begin with one of them and grow by a few blocks a
/// turn. The same arguments make the same lines on every machine. packaging/demo/demo-trace.jsonl is made by it.
/// </summary>
internal static class TraceGenerator
{
    /// <summary>Arguments of the shipped trace.</summary>
    internal const int DemoRequests = 600, DemoSeed = 1;

    private const int BlockTokens = 512;
    private const int Prompts = 6;
    private const int Open = 24;
    private const int LongestChain = 40;

    /// <summary>The lines, without their ends.</summary>
    internal static IEnumerable<string> Lines(int requests, int seed)
    {
        ulong state = (ulong)seed;
        long nextBlock = 0;
        long timestamp = 0;
        List<long>[] prompts = new List<long>[Prompts];
        for (int i = 0; i < Prompts; i++)
            prompts[i] = NewBlocks(2 + (int)Next(ref state, 6), ref nextBlock);

        var chats = new List<List<long>>();
        for (int i = 0; i < requests; i++)
        {
            int chat = chats.Count < Open || Next(ref state, 5) == 0 ? -1 : (int)Next(ref state, Open);
            List<long> chain = chat < 0 ? [.. prompts[Next(ref state, Prompts)]] : chats[chat];
            chain.AddRange(NewBlocks(1 + (int)Next(ref state, 4), ref nextBlock));
            if (chat < 0 && chats.Count < Open)
                chats.Add(chain);
            else if (chat < 0)
                chats[(int)Next(ref state, Open)] = chain;
            else if (chain.Count > LongestChain)
                chats[chat] = [.. prompts[Next(ref state, Prompts)]];

            long input = (chain.Count * BlockTokens) - (long)Next(ref state, BlockTokens);
            ulong output = 1 + Next(ref state, 800);
            string blocks = string.Join(", ", chain);
            yield return string.Create(CultureInfo.InvariantCulture, $"{{\"timestamp\": {timestamp}, "
                + $"\"input_length\": {input}, \"output_length\": {output}, \"hash_ids\": [{blocks}]}}");
            timestamp += 20 * (long)Next(ref state, 20);
        }
    }

    private static List<long> NewBlocks(int count, ref long next)
    {
        var blocks = new List<long>(count);
        for (int i = 0; i < count; i++)
            blocks.Add(next++);
        return blocks;
    }

    /// <summary>SplitMix64: System.Random promises no sequence over versions.</summary>
    private static ulong Next(ref ulong state, ulong bound)
    {
        state += 0x9E3779B97F4A7C15;
        ulong z = state;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return (z ^ (z >> 31)) % bound;
    }
}
