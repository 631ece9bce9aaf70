/**
 * Lints chosen, not collected: what the compiler cannot say and a reviewer would. There is no formatter; see
 * docs/decisions/0024-tools-of-the-typescript-client.md.
 */

import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

/** What only the edges of the client may touch: the clock and randomness are handed in, and the core does no I/O. */
const worldly = [
  'setTimeout', 'setInterval', 'queueMicrotask', 'performance', 'Date', 'crypto', 'fetch', 'WebSocket', 'WebTransport', 'EventSource',
  'window', 'document', 'navigator', 'location', 'localStorage', 'sessionStorage', 'process',
].map((name) => ({ name, message: 'The core does no I/O: time, randomness and frames are handed in.' }));

const noPrivateKeyword = {
  selector: ':matches(PropertyDefinition, MethodDefinition, TSParameterProperty)[accessibility="private"]',
  message: 'Write #name: it is private at run time too, and it minifies.',
};

export default defineConfig(
  { ignores: ['dist/', 'test/package/consumer/'] },
  {
    files: ['**/*.ts'],
    plugins: { '@typescript-eslint': tseslint.plugin },
    languageOptions: { parser: tseslint.parser, parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      // A promise that nobody looks at loses its failure.
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/return-await': ['error', 'in-try-catch'],
      '@typescript-eslint/only-throw-error': 'error',
      '@typescript-eslint/prefer-promise-reject-errors': 'error',
      // Types that are true: no hole in them, and no check of what they rule out.
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-unsafe-argument': 'error',
      '@typescript-eslint/no-unsafe-assignment': 'error',
      '@typescript-eslint/no-unsafe-call': 'error',
      '@typescript-eslint/no-unsafe-member-access': 'error',
      '@typescript-eslint/no-unsafe-return': 'error',
      '@typescript-eslint/no-unnecessary-condition': ['error', { allowConstantLoopConditions: true }],
      '@typescript-eslint/no-unnecessary-type-assertion': 'error',
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true, ignoreVoidReturningFunctions: true }],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/ban-ts-comment': 'error',
      '@typescript-eslint/no-deprecated': 'error',
      // Text that would read `[object Object]` or `undefined`.
      '@typescript-eslint/no-base-to-string': 'error',
      '@typescript-eslint/restrict-plus-operands': 'error',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      // One way to say it.
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/prefer-readonly': 'error',
      '@typescript-eslint/prefer-nullish-coalescing': 'error',
      '@typescript-eslint/prefer-optional-chain': 'error',
      eqeqeq: 'error',
      'no-var': 'error',
      'prefer-const': 'error',
      'object-shorthand': 'error',
      'no-restricted-syntax': ['error', noPrivateKeyword, { selector: 'TSEnumDeclaration, TSModuleDeclaration', message: 'Types are erased.' }],
      // A file tells one story.
      'max-lines': ['error', 400],
    },
  },
  {
    files: ['src/**/*.ts'],
    rules: { 'no-console': 'error' },
  },
  {
    // The arrows: core and codec ← transports ← the API. Types may point anywhere, for they leave nothing behind.
    files: ['src/core/**/*.ts', 'src/codec/**/*.ts'],
    rules: {
      'no-restricted-globals': ['error', ...worldly],
      'no-restricted-properties': ['error', { object: 'Math', property: 'random', message: 'Randomness is handed in.' }],
      '@typescript-eslint/no-restricted-imports': [
        'error',
        { patterns: [{ group: ['**/transports/*', '**/browser/*', '**/session.js', '**/driver.js'], allowTypeImports: true, message: 'The core knows nothing of what is around it.' }] },
      ],
    },
  },
  {
    files: ['src/transports/**/*.ts'],
    rules: {
      '@typescript-eslint/no-restricted-imports': [
        'error',
        { patterns: [{ group: ['**/core/*', '**/browser/*', '**/session.js', '**/driver.js'], allowTypeImports: true, message: 'A transport cannot name a session.' }] },
      ],
    },
  },
  {
    files: ['test/**/*.ts'],
    rules: {
      // `test()` of node's runner returns a promise that the runner itself waits for.
      '@typescript-eslint/no-floating-promises': [
        'error',
        { allowForKnownSafeCalls: ['test', 'it', 'describe', 'suite', 'before', 'after', 'beforeEach', 'afterEach'].map((name) => ({ from: 'package', package: 'node:test', name })) },
      ],
    },
  },
);
