// SPDX-License-Identifier: Apache-2.0

// On the data path.

namespace Mooncake.Mesh.Segments;

/// <summary>When the generation word of an extent changes (rule A1, the holder's half).</summary>
internal interface IWordRule
{
    /// <summary>An extent has been given out; no byte of its new object is written yet.</summary>
    /// <returns>The word that its readers are told.</returns>
    ulong Given(GenerationTable words, long offset);

    /// <summary>An extent leaves its object; it is not free yet.</summary>
    void Left(GenerationTable words, long offset);
}

/// <summary>
/// Rule A1: the word changes before the extent leaves its object, and then it is freed. A reader that finds the word it
/// was told, after its last byte, has read that object and nothing of the next one.
/// </summary>
internal sealed class WordRule : IWordRule
{
    /// <inheritdoc/>
    public ulong Given(GenerationTable words, long offset) => words.Advance(offset);

    /// <inheritdoc/>
    public void Left(GenerationTable words, long offset) => words.Advance(offset);
}
